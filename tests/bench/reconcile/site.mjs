import { build } from "esbuild";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };

/** What a contender's documentation has a page say at its head. */
const HEAD = { ours: "<link rel=preload href=/engine.wasm as=fetch crossorigin>" };

/**
 * The contender is there for calls from outside. A job in the address is done at once, as an application reads what it
 * shows: waiting for somebody who drives the browser to say so would be the larger part of a cold start, and alike for all.
 */
const START = `
  globalThis.contender = contender;
  const job = location.hash.slice(1);
  if (job) {
    globalThis.outcome = contender.read(JSON.parse(decodeURIComponent(job))).then((read) => ({
      read,
      milliseconds: performance.now(),
    }));
  }`;

/**
 * Pages on loopback, one for each contender in a folder with nothing but its own code, which it has as `contender`. The modules of
 * the merge are in another folder, where they are needed.
 */
export async function serve({ folder, contenders, modules }) {
  const files = new Map([
    ["engine.wasm", await readFile(fileURLToPath(import.meta.resolve("@webwaka/realtime/engine.wasm")))],
  ]);
  if (modules) {
    for (const name of ["merge.js", "merge_bg.wasm"]) files.set(name, await readFile(join(modules, name)));
  }
  for (const contender of contenders) {
    const script = `import * as contender from "./contenders/${contender}.mjs"; ${START}`;
    const { outputFiles } = await build({
      stdin: { contents: script, resolveDir: fileURLToPath(folder) },
      bundle: true,
      write: false,
      minify: true,
      format: "esm",
      platform: "browser",
      // The module of the merge is loaded as a browser does.
      external: ["/merge.js"],
      logLevel: "error",
    });
    files.set(`${contender}.js`, outputFiles[0].contents);
    files.set(
      `${contender}.html`,
      `<!doctype html><title>${contender}</title>${HEAD[contender] ?? ""}<script type=module src=/${contender}.js></script>`,
    );
  }
  const server = createServer((request, response) => {
    const name = request.url.slice(1);
    const body = files.get(name);
    if (name === "favicon.ico") response.writeHead(204).end();
    else if (body === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": TYPES[name.split(".").at(-1)] }).end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
