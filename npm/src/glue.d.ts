/** The glue between JavaScript and the WebAssembly module, as the build makes it of what wasm-bindgen writes. */
import type { Engine } from "../pkg/engine.js";

/**
 * Makes a new instance, whose exports the glue sees through `guard`. `hold` hears of what the
 * instance opens, `notice` of what it has to tell before it is open. `commit` is called with transactions that write.
 */
export function instantiate(
  module: WebAssembly.Module,
  guard: (exports: WebAssembly.Exports) => WebAssembly.Exports,
  hold: (name: string, resource: { close(): void }) => void,
  notice: (name: string) => void,
  commit: (transaction: IDBTransaction) => void,
): { Engine: typeof Engine };
