// What a page loads: bundled with all of `src` and evaluated once for each page, whose globals it sees as its own.

import { openClient } from "../src/client.js";
import { newInstance } from "../src/instance.js";
import { supervised } from "../src/supervisor.js";
import { BROWSER } from "../src/tabs/host.js";
import type { Versions } from "../src/tabs/protocol.js";
import { shared } from "../src/tabs/tab.js";
import type { Client, ClientOptions } from "../src/types.js";

/** The collections that pages use. */
export type Collections = { cards: "fieldLevel" };

/** Starts a client as `createClient` does, with an engine that is compiled already. */
export function open(
  module: WebAssembly.Module,
  options: ClientOptions<Collections>,
  versions?: Versions,
): Promise<Client<Collections>> {
  const engine = supervised(() => newInstance(module));
  return openClient(shared(engine, BROWSER, versions), options, engine);
}
