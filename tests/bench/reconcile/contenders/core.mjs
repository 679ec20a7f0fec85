import init, { merge as run } from "/merge.js";

/** Decodes two histories and applies them; operations per second. */
export async function merge({ operations, documents, fields }) {
  await init();
  return run(operations, documents, fields);
}
