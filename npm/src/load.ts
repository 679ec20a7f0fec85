import { compile } from "./compile.js";
import { RealtimeError } from "./errors.js";
import { type Instance, newInstance } from "./instance.js";
import type { OpenEngine } from "./seam.js";
import { supervised } from "./supervisor.js";
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
  const wrong = (cause: unknown) =>
    new RealtimeError("load_failed", "the WebAssembly module is not the one of this version", { cause });
  let first: Instance | undefined;
  try {
    first = newInstance(module);
  } catch (cause) {
    throw wrong(cause);
  }
  // Each client has an instance of its own, so that what ends one does not end the others.
  return supervised(() => {
    const instance = first ?? newInstance(module);
    first = undefined;
    return instance;
  });
}
