// What a page loads: bundled with all of `src` and evaluated once for each page, whose globals it sees as its own.

import { openClient } from "../src/client.js";
import { type Instance, newInstance } from "../src/instance.js";
import type { Engine, OpenEngine } from "../src/seam.js";
import { supervised } from "../src/supervisor.js";
import { BROWSER } from "../src/tabs/host.js";
import type { Versions } from "../src/tabs/protocol.js";
import { shared } from "../src/tabs/tab.js";
import type { Client, ClientOptions } from "../src/types.js";

/** The collections that pages use. */
export type Collections = { cards: "fieldLevel" };

/**
 * Starts a client as `createClient` does, with an engine that is compiled already. `calling` is told which of its methods is
 * about to run, and when it has.
 */
export function open(
  module: WebAssembly.Module,
  options: ClientOptions<Collections>,
  calling: (method: string | undefined) => void,
  versions?: Versions,
): Promise<Client<Collections>> {
  const engine = supervised(() => watched(newInstance(module), calling));
  return openClient(shared(engine, BROWSER, versions), options, engine);
}

function watched(instance: Instance, calling: (method: string | undefined) => void): Instance {
  const open: OpenEngine = async (...start) => {
    const engine = (await instance.open(...start)) as unknown as Record<
      string,
      (...args: unknown[]) => unknown
    >;
    const call =
      (method: string) =>
      (...args: unknown[]) => {
        calling(method);
        try {
          return engine[method]?.(...args);
        } finally {
          calling(undefined);
        }
      };
    const get = (_: object, method: string) => (method in engine ? call(method) : undefined);
    return new Proxy({}, { get }) as Engine;
  };
  return {
    open,
    death: instance.death,
    get dead() {
      return instance.dead;
    },
  };
}
