import type { Host } from "../src/tabs/host.js";
import type { Held, Submissions } from "../src/tabs/submissions.js";

interface Waiting {
  granted(): void;
  lost(): void;
  shared: boolean;
}

/** Web Locks as far as the tabs use them, which Node has not: first come first served, shared, stolen, told of. */
export class Locks {
  readonly #held = new Map<string, Set<Waiting>>();
  readonly #queues = new Map<string, Waiting[]>();

  request(name: string, ...rest: unknown[]): Promise<unknown> {
    const callback = rest.pop() as () => Promise<unknown> | undefined;
    const options = (rest[0] ?? {}) as { steal?: boolean; signal?: AbortSignal; mode?: string };
    return new Promise((resolve, reject) => {
      const aborted = () => reject(new DOMException("", "AbortError"));
      const waiting: Waiting = {
        shared: options.mode === "shared",
        lost: aborted,
        granted: () => {
          void Promise.resolve(callback()).then((value) => {
            this.#holders(name).delete(waiting);
            resolve(value);
            this.#next(name);
          });
        },
      };
      const queue = this.#queue(name);
      if (options.steal) {
        this.#holders(name).forEach((holder) => holder.lost());
        this.#holders(name).clear();
        queue.unshift(waiting);
      } else {
        queue.push(waiting);
      }
      options.signal?.addEventListener("abort", () => {
        if (queue.includes(waiting)) {
          queue.splice(queue.indexOf(waiting), 1);
          aborted();
        }
      });
      this.#next(name);
    });
  }

  query(): Promise<{ held: { name: string }[] }> {
    const names = [...this.#held].filter(([, holders]) => holders.size > 0).map(([name]) => ({ name }));
    return Promise.resolve({ held: names });
  }

  #next(name: string): void {
    const holders = this.#holders(name);
    const [first] = this.#queue(name);
    if (first && (holders.size === 0 || (first.shared && [...holders].every(({ shared }) => shared)))) {
      this.#queue(name).shift();
      holders.add(first);
      queueMicrotask(() => first.granted());
      this.#next(name);
    }
  }

  #holders(name: string): Set<Waiting> {
    const holders = this.#held.get(name) ?? new Set();
    this.#held.set(name, holders);
    return holders;
  }

  #queue(name: string): Waiting[] {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    return queue;
  }
}

/** What the tabs of one origin have in common, but for the channel, which is Node's own. */
export class Origin {
  readonly locks = new Locks();
  readonly stored = new Map<string, Held>();
  readonly #name = `test-${Math.random()}`;
  /** What the next write of a submission throws. */
  failure: unknown;
  /** What the next removal throws. */
  removal: unknown;

  /** The browser, as one tab sees it; with what the test does to the tab. */
  tab(): Host & { leave(): void; join(): void } {
    let told: [() => void, () => void] = [() => undefined, () => undefined];
    return {
      locks: this.locks as unknown as LockManager,
      channel: () => new BroadcastChannel(this.#name),
      submissions: () => Promise.resolve(this.#submissions()),
      visible: () => true,
      listen: (...listeners) => {
        told = listeners;
        return () => undefined;
      },
      leave: () => told[0](),
      join: () => told[1](),
    };
  }

  #submissions(): Submissions {
    const { stored } = this;
    return {
      put: async (submissions) => {
        await null;
        if (this.failure !== undefined) {
          throw this.failure;
        }
        submissions.forEach(([key, text]) => stored.set(key, text));
      },
      all: () => Promise.resolve(new Map([...stored].sort())),
      remove: async (keys) => {
        await null;
        if (this.removal !== undefined) {
          const failure = this.removal;
          this.removal = undefined;
          throw failure;
        }
        const held = keys.map((key) => stored.get(key));
        keys.forEach((key) => stored.delete(key));
        return held;
      },
      close: () => undefined,
    };
  }
}
