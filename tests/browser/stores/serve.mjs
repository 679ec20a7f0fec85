import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const TYPES = { js: "text/javascript", wasm: "application/wasm" };
const PAGE = "<!doctype html><meta charset=utf-8><title>stores</title>";

const ENCRYPTION = fileURLToPath(new URL("../../../npm/dist/encryption.js", import.meta.url));

/** Serves `pkg/`, the package's encryption, and an empty page for everything else, on loopback. */
export async function serve() {
  const server = createServer(async (request, response) => {
    const [, inPkg, type] = /^\/pkg\/([\w-]+\.(js|wasm))$/.exec(request.url) ?? [];
    const file =
      request.url === "/encryption.js" ? ENCRYPTION : inPkg && new URL(`pkg/${inPkg}`, import.meta.url);
    response.setHeader("content-type", file ? TYPES[type ?? "js"] : "text/html");
    response.end(file ? await readFile(file) : PAGE);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}
