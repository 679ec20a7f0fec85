interface Request<Page> {
  page: Page;
  name: string;
  shared: boolean;
  granted(): void;
  lost(): void;
}

/** How what a page asks of its browser gets there, and how it is told; what one page asks arrives in order, and so does the other. */
export interface Ways<Page> {
  ask(page: Page, arrive: () => void): void;
  tell(page: Page, run: () => void): void;
}

/** The Web Locks of an origin, as far as tabs use them: first come, first served, shared, stolen, let go by death. */
export class Locks<Page> {
  readonly #ways: Ways<Page>;
  readonly #held = new Map<string, Set<Request<Page>>>();
  readonly #queues = new Map<string, Request<Page>[]>();

  constructor(ways: Ways<Page>) {
    this.#ways = ways;
  }

  /** `navigator.locks` of a page. */
  of(page: Page): LockManager {
    const manager = {
      request: (name: string, ...rest: unknown[]) => this.#request(page, name, rest),
      query: () =>
        new Promise((resolve) =>
          this.#ways.ask(page, () => {
            const held = [...this.#held].flatMap(([name, { size }]) => (size > 0 ? [{ name }] : []));
            this.#ways.tell(page, () => resolve({ held }));
          }),
        ),
    };
    return manager as unknown as LockManager;
  }

  /** Lets go of all that a dead page held or waited for. */
  forget(page: Page): void {
    for (const [name, queue] of this.#queues) {
      this.#queues.set(
        name,
        queue.filter((request) => request.page !== page),
      );
      for (const request of this.#held.get(name) ?? []) {
        if (request.page === page) {
          this.#held.get(name)?.delete(request);
        }
      }
      this.#next(name);
    }
  }

  #request(page: Page, name: string, rest: unknown[]): Promise<unknown> {
    const callback = rest.pop() as () => Promise<unknown> | undefined;
    const options = (rest[0] ?? {}) as LockOptions;
    const { signal } = options;
    return new Promise((resolve, reject) => {
      const aborted = () => reject(new DOMException("", "AbortError"));
      const request: Request<Page> = {
        page,
        name,
        shared: options.mode === "shared",
        // The browser has granted it before the page knows, which may be asleep.
        granted: () =>
          this.#ways.tell(page, () => {
            if (signal?.aborted) {
              this.#release(request);
              return;
            }
            signal?.removeEventListener("abort", abort);
            void Promise.resolve(callback()).then((value) => {
              this.#release(request);
              resolve(value);
            });
          }),
        lost: () => this.#ways.tell(page, aborted),
      };
      const abort = () => {
        this.#queues.set(
          name,
          this.#queue(name).filter((other) => other !== request),
        );
        aborted();
      };
      signal?.addEventListener("abort", abort);
      this.#ways.ask(page, () => signal?.aborted || this.#arrive(request, options.steal === true));
    });
  }

  #arrive(request: Request<Page>, steal: boolean): void {
    if (steal) {
      for (const holder of this.#holders(request.name)) {
        holder.lost();
      }
      this.#holders(request.name).clear();
      this.#queue(request.name).unshift(request);
    } else {
      this.#queue(request.name).push(request);
    }
    this.#next(request.name);
  }

  #release(request: Request<Page>): void {
    if (this.#holders(request.name).delete(request)) {
      this.#next(request.name);
    }
  }

  #next(name: string): void {
    const holders = this.#holders(name);
    const [first] = this.#queue(name);
    if (first && (holders.size === 0 || (first.shared && [...holders].every(({ shared }) => shared)))) {
      this.#queue(name).shift();
      holders.add(first);
      first.granted();
      this.#next(name);
    }
  }

  #holders(name: string): Set<Request<Page>> {
    const holders = this.#held.get(name) ?? new Set();
    this.#held.set(name, holders);
    return holders;
  }

  #queue(name: string): Request<Page>[] {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    return queue;
  }
}
