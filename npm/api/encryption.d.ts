import type { Encryption } from "./types.js";
/**
 * Encrypts what a client keeps on this device with AES-GCM (NIST SP 800-38D): give it to `createClient` as `encryption`.
 *
 * The key is the application's: derived from a passphrase, or unwrapped with the help of its server, and best not
 * extractable. It must be for AES-GCM and allow `encrypt` and `decrypt`. Each record has an initialisation vector of
 * its own and is bound to its place in the store, so that records cannot be exchanged for one another.
 *
 * Under one key at most 2^32 records should ever be written, as the vectors are random.
 */
export declare function aesGcm(key: CryptoKey): Encryption;
