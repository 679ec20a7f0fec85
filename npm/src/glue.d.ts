/** The glue between JavaScript and the WebAssembly module, as the build makes it of what wasm-bindgen writes. */
import type { Engine } from "../pkg/engine.js";

/** Makes a new instance, whose exports the glue sees through `guard`. `hold` hears of what the instance opens. */
export function instantiate(
  module: WebAssembly.Module,
  guard: (exports: WebAssembly.Exports) => WebAssembly.Exports,
  hold: (name: string, resource: { close(): void }) => void,
): { Engine: typeof Engine };
