import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { compile } from "../src/compile.js";

/** The smallest module: the magic number and the version. */
const EMPTY = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);

const server = createServer((request, response) => {
  const type = new URLSearchParams(request.url?.split("?")[1]).get("type");
  response.writeHead(
    request.url?.startsWith("/engine.wasm") ? 200 : 404,
    type ? { "content-type": type } : {},
  );
  response.end(EMPTY);
});
test.before(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
test.after(() => server.close());
const address = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`;

for (const type of ["application/wasm", "application/octet-stream", "text/html; charset=utf-8", ""]) {
  test(`a module is loaded from a server that calls it ${type || "nothing"}`, async () => {
    const found = address(`engine.wasm?type=${encodeURIComponent(type)}`);
    for (const source of [found, new URL(found), fetch(found), await fetch(found)]) {
      assert.ok((await compile(source)) instanceof WebAssembly.Module);
    }
  });
}

test("a module can be given as bytes, or compiled", async () => {
  const module = await compile(EMPTY);
  assert.equal(await compile(module), module);
  assert.ok((await compile(EMPTY.buffer)) instanceof WebAssembly.Module);
});

test("a missing file is told with its address and status", async () => {
  await assert.rejects(compile(address("other.wasm")), {
    name: "RealtimeError",
    code: "load_failed",
    retryable: true,
    message: `the engine could not be loaded: ${address("other.wasm")} answered 404`,
  });
});

test("a page in place of the module is told with its address", async () => {
  const page = new Response("<!doctype html>", { headers: { "content-type": "text/html" } });
  await assert.rejects(compile(page), { code: "load_failed", message: /^there is no engine at / });
});

test("what is no module, and a server that is not there, are told as such", async () => {
  await assert.rejects(compile(new TextEncoder().encode("<!doctype html>")), { code: "load_failed" });
  await assert.rejects(compile("http://127.0.0.1:1/engine.wasm"), { code: "load_failed" });
});
