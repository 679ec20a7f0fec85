import { server } from "../browser/harness/server.mjs";

/** A server without a page, for more than one test, and what ends it. */
export async function start() {
  let end = async () => {};
  const host = await server({ after: (step) => (end = step) }, { web: null });
  return { host, end };
}
