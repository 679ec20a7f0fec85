/** The Web Lock that makes a tab the leader. The browser lets go of it when the page ends, however it ends. */
export class LeaderLock {
  readonly #locks: LockManager;
  readonly #name: string;
  /** The lock is ours. */
  readonly #granted: () => void;
  /** Another tab has taken it. */
  readonly #stolen: () => void;
  /** There are no locks for this page. */
  readonly #denied: () => void;
  #waiting: AbortController | undefined;
  #release: (() => void) | undefined;

  constructor(
    locks: LockManager,
    name: string,
    told: { granted: () => void; stolen: () => void; denied: () => void },
  ) {
    this.#locks = locks;
    this.#name = name;
    this.#granted = told.granted;
    this.#stolen = told.stolen;
    this.#denied = told.denied;
  }

  get held(): boolean {
    return this.#release !== undefined;
  }

  /** Gets in line for it; with `steal`, takes it from whoever has it. */
  request(steal = false): void {
    this.#waiting?.abort();
    const waiting = new AbortController();
    this.#waiting = waiting;
    let release: (() => void) | undefined;
    const hold = () => {
      if (waiting.signal.aborted) {
        return undefined;
      }
      const held = new Promise<void>((resolve) => (release = resolve));
      this.#release = release;
      this.#granted();
      return held;
    };
    // The two options exclude each other. What is stolen is granted at once.
    const options = steal ? { steal } : { signal: waiting.signal };
    this.#locks.request(this.#name, options, hold).catch(() => {
      if (release !== undefined && this.#release === release) {
        this.#release = undefined;
        this.#stolen();
      } else if (release === undefined && !waiting.signal.aborted) {
        this.#denied();
      }
    });
  }

  /** Lets it go, or leaves the line. */
  release(): void {
    this.#waiting?.abort();
    this.#waiting = undefined;
    this.#release?.();
    this.#release = undefined;
  }
}
