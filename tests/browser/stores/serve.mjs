import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

const TYPES = { js: "text/javascript", wasm: "application/wasm" };
const PAGE = "<!doctype html><meta charset=utf-8><title>stores</title>";

/** Serves `pkg/`, and an empty page for everything else, on loopback. */
export async function serve() {
  const server = createServer(async (request, response) => {
    const file = /^\/pkg\/([\w-]+\.(js|wasm))$/.exec(request.url);
    const body = file ? await readFile(new URL(`pkg/${file[1]}`, import.meta.url)) : PAGE;
    response.setHeader("content-type", file ? TYPES[file[2]] : "text/html");
    response.end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}
