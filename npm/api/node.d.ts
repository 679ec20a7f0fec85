import type { Client, ClientOptions, Collections } from "./types.js";
/** On a server there is no device to keep anything on: rejects with code `unsupported_environment`. */
export declare function createClient<const C extends Collections>(_options: ClientOptions<C>): Promise<Client<C>>;
export { RealtimeError } from "./errors.js";
export type * from "./types.js";
