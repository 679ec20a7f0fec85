import { RealtimeError } from "./errors.js";
import type { Client, ClientOptions, Collections } from "./types.js";

/** On a server there is no device to keep anything on: rejects with code `unsupported_environment`. */
export function createClient<const C extends Collections>(_options: ClientOptions<C>): Promise<Client<C>> {
  return Promise.reject(
    new RealtimeError(
      "unsupported_environment",
      "createClient runs in browsers; while rendering on a server, create the client after the page is mounted",
    ),
  );
}

export { RealtimeError } from "./errors.js";
export type * from "./types.js";
