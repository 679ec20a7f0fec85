import type { Client } from "./types.js";

/** What both sides of a sync can choose. */
export interface BackgroundSyncOptions {
  /** Names the sync to the browser; one for each client name is enough. Default: `"webwaka-realtime"`. */
  tag?: string | undefined;
}

/** What the service worker can choose. */
export interface AnswerOptions extends BackgroundSyncOptions {
  /** Milliseconds to send for, at most, before the browser is asked to wake the worker again. Default: 60,000. */
  patience?: number | undefined;
}

const TAG = "webwaka-realtime";
const PATIENCE = 60_000;

/** What is used of the Background Synchronization API (WICG), of which TypeScript has no types. */
interface Registration extends ServiceWorkerRegistration {
  readonly sync?: { register(tag: string): Promise<void> };
}
interface SyncEvent extends Event {
  readonly tag: string;
  waitUntil(work: Promise<unknown>): void;
}

/**
 * In a page: asks the browser to wake the service worker once there is a network, for as long as operations wait
 * to be sent. Where the browser has no such thing nothing is asked, and what waits is sent when a page is open.
 *
 * The function returned ends that; so does the end of the client.
 */
export function askForBackgroundSync(client: Client, options?: BackgroundSyncOptions): () => void {
  const tag = options?.tag ?? TAG;
  let asked = false;
  const look = (): void => {
    const { pending, link } = client.status;
    const wanted = pending > 0 && link === "down";
    if (wanted && !asked) {
      // Refused where the user forbids it; then pages alone send.
      ask(tag).catch(() => undefined);
    }
    asked = wanted;
  };
  look();
  return client.subscribe(look);
}

/**
 * In a service worker, while its script runs for the first time: answers the browser's wake-up by sending what waits
 * in the outbox. `open` makes the client as the page does, with the same name and collections.
 *
 * Operations keep their ids, so that what a page and the worker both send has one effect. The client is closed when
 * nothing waits any more, or after `patience`; then the event fails, which makes the browser try again later. An
 * operation leaves the outbox only after the server has judged it, whatever becomes of the worker.
 */
export function answerBackgroundSync(open: () => Promise<Client>, options?: AnswerOptions): void {
  const { tag = TAG, patience = PATIENCE } = options ?? {};
  addEventListener("sync", (event) => {
    const sync = event as SyncEvent;
    if (sync.tag === tag) {
      sync.waitUntil(sendAll(open, patience));
    }
  });
}

async function ask(tag: string): Promise<void> {
  // Absent outside of secure contexts.
  const registration = (await navigator.serviceWorker?.ready) as Registration | undefined;
  await registration?.sync?.register(tag);
}

async function sendAll(open: () => Promise<Client>, patience: number): Promise<void> {
  const client = await open();
  try {
    const signal = AbortSignal.timeout(patience);
    for await (const { pending } of client.statuses({ signal })) {
      if (pending === 0) {
        return;
      }
    }
  } finally {
    await client.close();
  }
}
