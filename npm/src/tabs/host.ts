import { type Submissions, openSubmissions } from "./submissions.js";

/** What a tab uses of the browser. */
export interface Host {
  /** Absent in insecure contexts and old browsers: then a tab works alone. */
  readonly locks: LockManager | undefined;
  /** Where all tabs of the name hear each other; absent in old browsers. */
  channel(name: string): BroadcastChannel | undefined;
  /** Opens the submissions of a client that has been opened before. */
  submissions(client: string): Promise<Submissions>;
  /** Whether the user can see this tab. */
  visible(): boolean;
  /**
   * Calls `leave` when the tab is about to be put aside, frozen or kept for the way back, and `join` when it goes on.
   * The function returned ends that.
   */
  listen(leave: () => void, join: () => void): () => void;
}

/** The browser. */
export const BROWSER: Host = {
  // Reading the property throws where a page may not have storage.
  get locks() {
    try {
      return globalThis.navigator?.locks;
    } catch {
      return undefined;
    }
  },
  channel: (name) => (typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(name)),
  submissions: openSubmissions,
  visible: () => globalThis.document?.visibilityState === "visible",
  listen(leave, join) {
    const listening = new AbortController();
    const { signal } = listening;
    for (const event of ["pagehide", "freeze"]) {
      // `freeze` and `resume` are of the document, and bubble no further than the window.
      globalThis.addEventListener?.(event, leave, { signal, capture: true });
    }
    for (const event of ["pageshow", "resume"]) {
      globalThis.addEventListener?.(event, join, { signal, capture: true });
    }
    return () => listening.abort();
  },
};

/**
 * Has the browser start what serves locks, and open the storage of a client that was here before. That takes it a while, in
 * which the engine can be loaded. Whoever asked closes it, once it is open for the engine as well.
 */
export async function wakeBrowser(client: string): Promise<Submissions | undefined> {
  try {
    BROWSER.locks?.query().catch(() => undefined);
    return await openSubmissions(client);
  } catch {
    // Whoever needs it says so.
    return undefined;
  }
}
