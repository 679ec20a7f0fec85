import { Engine, initSync } from "#engine";
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
    throw error instanceof RealtimeError ? error : failed("the engine could not be loaded", error);
  });
  return orAborted(loading, signal);
}

async function load(source: WasmSource): Promise<OpenEngine> {
  initSync({ module: await compile(source) });
  return (options, token, events) => Engine.open(options, token, events);
}

/** Makes a module of anything that leads to one. */
export async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  const given = await (typeof source === "string" || source instanceof URL ? fetch(source) : source);
  if (!(given instanceof Response)) {
    return isBytes(given) ? WebAssembly.compile(given) : given;
  }
  if (!given.ok) {
    throw failed(`the engine could not be loaded: ${given.url} answered ${given.status}`);
  }
  // Streaming demands this type of the answer, which many plain file servers do not give.
  return given.headers.get("content-type") === "application/wasm"
    ? WebAssembly.compileStreaming(given)
    : WebAssembly.compile(await given.arrayBuffer());
}

function isBytes(given: BufferSource | WebAssembly.Module): given is BufferSource {
  return given instanceof ArrayBuffer || ArrayBuffer.isView(given);
}

function failed(message: string, cause?: unknown): RealtimeError {
  return new RealtimeError("load_failed", message, cause === undefined ? {} : { cause });
}
