import { RealtimeError } from "./errors.js";
import type { WasmSource } from "./types.js";

/** Makes a module of anything that leads to one; rejects with code `load_failed`. */
export async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  try {
    const given = await (typeof source === "string" || source instanceof URL ? fetch(source) : source);
    if (!(given instanceof Response)) {
      return isBytes(given) ? await WebAssembly.compile(given) : given;
    }
    if (!given.ok) {
      throw failed(`the engine could not be loaded: ${given.url} answered ${given.status}`);
    }
    return await compileAnswer(given);
  } catch (error) {
    throw error instanceof RealtimeError ? error : failed("the engine could not be loaded", error);
  }
}

async function compileAnswer(answer: Response): Promise<WebAssembly.Module> {
  // Streaming demands this type of the answer, which many plain file servers do not give.
  if (answer.headers.get("content-type") === "application/wasm") {
    return WebAssembly.compileStreaming(answer);
  }
  const bytes = await answer.arrayBuffer();
  return WebAssembly.compile(bytes).catch((error: unknown) => {
    // Development servers answer any address with their page, so this is what a wrong one looks like.
    throw failed(`there is no engine at ${answer.url}; the README says where it has to be`, error);
  });
}

function isBytes(given: BufferSource | WebAssembly.Module): given is BufferSource {
  return given instanceof ArrayBuffer || ArrayBuffer.isView(given);
}

function failed(message: string, cause?: unknown): RealtimeError {
  return new RealtimeError("load_failed", message, cause === undefined ? {} : { cause });
}
