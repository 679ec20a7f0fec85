import type { Host } from "../src/tabs/host.js";
import { Locks } from "../sim/locks.js";
import type { Held, Submissions } from "../src/tabs/submissions.js";

/** What the tabs of one origin have in common, but for the channel, which is Node's own. */
export class Origin {
  readonly locks = new Locks<Origin>({
    ask: (_, arrive) => arrive(),
    tell: (_, run) => queueMicrotask(run),
  }).of(this);
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
      locks: this.locks,
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
