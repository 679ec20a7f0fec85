import { commit } from "./commit.js";
import { instantiate } from "./glue.js";
import type { OpenEngine } from "./seam.js";

/** The engine's module, instantiated. It dies of a trap, which is what a panic in Rust becomes. */
export interface Instance {
  readonly open: OpenEngine;
  /** Whether a trap has ended it. Nothing of it runs any more then, and what it had open is closed. */
  readonly dead: boolean;
  /** Resolves with the trap. */
  readonly death: Promise<unknown>;
}

/** Makes a new instance. Throws if the module is not the one of this version. */
export function newInstance(module: WebAssembly.Module): Instance {
  const held = new Map<string, { close(): void }>();
  let tell: ((json: string) => void) | undefined;
  let die!: (trap: unknown) => void;
  const death = new Promise<unknown>((resolve) => (die = resolve));
  const guard = new Guard((trap) => {
    held.forEach((resource) => resource.close());
    held.clear();
    die(trap);
  });
  const { Engine } = instantiate(
    module,
    (exports) => guard.around(exports),
    // One of each name: what comes under a name takes the place of what is closed already.
    (name, resource) => void held.set(name, resource),
    (name) => tell?.(JSON.stringify([name])),
    commit,
  );
  const fatal = death.then((trap) => Promise.reject(trap as Error));
  fatal.catch(() => undefined);
  return {
    open: (options, token, events, encryption, rules) => {
      tell = events;
      return Promise.race([Engine.open(options, token, events, encryption, rules), fatal]);
    },
    death,
    get dead() {
      return guard.dead;
    },
  };
}

/** What the glue takes an error of a callback from, where a callback may fail. */
const NO_ERROR: readonly never[] = [];

/** The methods of the class; everything else is called by the browser, as timers, events and promises. */
const CALLED_BY_US = /^engine_/;

/**
 * Stands before the exports of an instance and lets nobody in after something escaped from one of them: whatever
 * unwinds WebAssembly leaves its state half changed. Errors that the engine means to throw do not come this way.
 */
class Guard {
  dead = false;
  #depth = 0;
  readonly #died: (trap: unknown) => void;

  constructor(died: (trap: unknown) => void) {
    this.#died = died;
  }

  around(exports: WebAssembly.Exports): WebAssembly.Exports {
    const guarded = Object.entries(exports).map(([name, item]) => [
      name,
      typeof item === "function" ? this.#around(CALLED_BY_US.test(name), item) : item,
    ]);
    return Object.fromEntries(guarded) as WebAssembly.Exports;
  }

  #around(ours: boolean, call: Function): (...args: unknown[]) => unknown {
    return (...args) => {
      this.#depth += 1;
      try {
        if (this.dead) {
          throw new Error("the engine's instance is dead");
        }
        return call(...args) as unknown;
      } catch (trap) {
        if (!this.dead) {
          this.dead = true;
          this.#died(trap);
        }
        // The browser would only report it as uncaught. Further in, it has to unwind what called us.
        if (ours || this.#depth > 1) {
          throw trap;
        }
        return NO_ERROR;
      } finally {
        this.#depth -= 1;
      }
    };
  }
}
