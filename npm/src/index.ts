import { openClient } from "./client.js";
import { loadEngine } from "./load.js";
import type { Client, ClientOptions, Collections } from "./types.js";

/**
 * Starts a client: loads the engine, opens the storage on this device, and connects in the background.
 *
 * Resolves when the client can be used, which takes no network but for loading the engine. Rejects with a
 * `RealtimeError`: `invalid_options`; `load_failed`; `in_use` if another page of this origin has a client of
 * this name; `wrong_key` if what is stored was encrypted with another key, or is and none is given: nothing is changed; or the reason of the signal.
 */
export async function createClient<const C extends Collections>(
  options: ClientOptions<C>,
): Promise<Client<C>> {
  options.signal?.throwIfAborted();
  return openClient(await loadEngine(options.wasm, options.signal), options);
}

export { RealtimeError } from "./errors.js";
export type * from "./types.js";
