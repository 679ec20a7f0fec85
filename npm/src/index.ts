import { openClient } from "./client.js";
import { loadEngine } from "./load.js";
import { BROWSER, wakeBrowser } from "./tabs/host.js";
import { shared } from "./tabs/tab.js";
import type { Client, ClientOptions, Collections } from "./types.js";

/**
 * Starts a client: loads the engine, opens the storage on this device, and connects in the background.
 *
 * Resolves when the client can be used, which takes no network but for loading the engine. Rejects with a
 * `RealtimeError`: `invalid_options`; `load_failed`; `wrong_key` if what is stored was encrypted with another key,
 * or is and none is given: nothing is changed; or the reason of the signal.
 *
 * All tabs of an origin that create a client of one name share it: its storage, its connection and its network
 * switch. Each may write; whichever are closed, frozen or killed, the others go on.
 */
export async function createClient<const C extends Collections>(
  options: ClientOptions<C>,
): Promise<Client<C>> {
  options.signal?.throwIfAborted();
  const awake = wakeBrowser(options.name ?? "default");
  try {
    const engine = await loadEngine(options.wasm, options.signal);
    return await openClient(shared(engine, BROWSER), options, engine);
  } finally {
    void awake.then((storage) => storage?.close());
  }
}

export { RealtimeError } from "./errors.js";
export type * from "./types.js";
