import type { Encryption } from "./types.js";

/** Bytes of an initialisation vector: what NIST SP 800-38D recommends for random ones. */
const IV_BYTES = 12;

/**
 * Encrypts what a client keeps on this device with AES-GCM (NIST SP 800-38D): give it to `createClient` as `encryption`.
 *
 * The key is the application's: derived from a passphrase, or unwrapped with the help of its server, and best not
 * extractable. It must be for AES-GCM and allow `encrypt` and `decrypt`. Each record has an initialisation vector of
 * its own and is bound to its place in the store, so that records cannot be exchanged for one another.
 *
 * Under one key at most 2^32 records should ever be written, as the vectors are random.
 */
export function aesGcm(key: CryptoKey): Encryption {
  return {
    seal: (records) => Promise.all(records.map(([name, text]) => seal(key, name, text))),
    open: (records) => Promise.all(records.map(([name, sealed]) => open(key, name, sealed))),
  };
}

async function seal(key: CryptoKey, name: string, text: string): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const sealed = new Uint8Array(await crypto.subtle.encrypt(bound(iv, name), key, bytes(text)));
  return toBase64(iv) + toBase64(sealed);
}

async function open(key: CryptoKey, name: string, sealed: string): Promise<string> {
  // Twelve bytes are sixteen digits, without padding.
  const digits = (IV_BYTES / 3) * 4;
  const iv = fromBase64(sealed.slice(0, digits));
  const text = await crypto.subtle.decrypt(bound(iv, name), key, fromBase64(sealed.slice(digits)));
  return new TextDecoder().decode(text);
}

function bound(iv: Uint8Array<ArrayBuffer>, name: string): AesGcmParams {
  return { name: "AES-GCM", iv, additionalData: bytes(name) };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Characters that one call of `fromCharCode` takes without running out of stack. */
const SLICE = 0x8000;

function toBase64(data: Uint8Array): string {
  let binary = "";
  for (let start = 0; start < data.length; start += SLICE) {
    binary += String.fromCharCode(...data.subarray(start, start + SLICE));
  }
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (digit) => digit.charCodeAt(0));
}
