import { Engine, initSync } from "../pkg/engine.js";
import { compile } from "./compile.js";
import { RealtimeError } from "./errors.js";
import type { OpenEngine } from "./seam.js";
import type { WasmSource } from "./types.js";
import { orAborted } from "./waiting.js";

let loading: Promise<OpenEngine> | undefined;

/**
 * Loads the engine, once a page; a failed attempt is forgotten, so that the next call tries again.
 *
 * Without a source it lies beside this script. Bundlers find it by the expression below and copy it.
 */
export function loadEngine(
  source: WasmSource | undefined,
  signal: AbortSignal | undefined,
): Promise<OpenEngine> {
  loading ??= load(source ?? new URL("./engine.wasm", import.meta.url)).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return orAborted(loading, signal);
}

async function load(source: WasmSource): Promise<OpenEngine> {
  const module = await compile(source);
  try {
    // Checked beforehand, as the glue takes whatever can be instantiated, and then nothing else any more.
    if (!WebAssembly.Module.exports(module).some(({ name }) => name === "__wbindgen_start")) {
      throw new TypeError("not a module of wasm-bindgen");
    }
    initSync({ module });
  } catch (cause) {
    throw new RealtimeError("load_failed", "the WebAssembly module is not the one of this version", {
      cause,
    });
  }
  return (options, token, events) => Engine.open(options, token, events);
}
