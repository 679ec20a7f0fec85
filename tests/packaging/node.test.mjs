/** The package in Node, where pages are rendered. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { Project } from "./setup/project.mjs";

/** Prints what of a browser is touched while `target` is imported. */
const WATCH = `
  const touched = [];
  const names = ["window", "document", "self", "navigator", "location", "localStorage", "sessionStorage", "caches",
    "indexedDB", "WebSocket", "Worker", "BroadcastChannel", "addEventListener", "fetch", "WebAssembly", "crypto",
    "setTimeout", "setInterval", "requestAnimationFrame", "matchMedia", "customElements"];
  for (const name of names) {
    const value = globalThis[name];
    Object.defineProperty(globalThis, name, { configurable: true, get: () => (touched.push(name), value) });
  }
  const target = process.argv[2];
  await import(target === "itself" ? "data:text/javascript,document;fetch" : target);
  console.log(JSON.stringify(touched));
`;

/** A component and its rendering, as a framework would have it. */
const PAGE = `
  import { RealtimeError, createClient } from "@webwaka/realtime";
  const start = () => createClient({ url: "http://127.0.0.1:1", token: "t", collections: { notes: "fieldLevel" } });
  const render = (notes) => "<ul>" + notes.map((note) => "<li>" + note + "</li>").join("") + "</ul>";
  console.log(render([]));
  const error = await start().catch((error) => error);
  console.log(error instanceof RealtimeError, error.code, error.retryable);
`;

/** @type {Project} */
let project;
before(() => {
  project = new Project(
    {
      "package.json": '{ "name": "empty", "private": true, "type": "module" }',
      "watch.mjs": WATCH,
      "page.mjs": PAGE,
      "vite.config.mjs": "export default { ssr: { noExternal: true } };",
    },
    ["vite"],
  );
});
after(() => project?.remove());

/** @param {string} target @param {string[]} options */
const touchedBy = (target, ...options) => JSON.parse(project.node(...options, "watch.mjs", target));

test("the watch itself sees what is touched", () => {
  assert.deepEqual(touchedBy("itself"), ["document", "fetch"]);
});

test("importing the package in Node touches nothing of a browser", () => {
  assert.deepEqual(touchedBy("@webwaka/realtime"), []);
});

test("importing the entry for browsers and other runtimes touches nothing of a browser either", () => {
  assert.deepEqual(touchedBy("@webwaka/realtime", "--conditions=browser"), []);
});

test("a page is rendered on a server, and a client there is a clear error", () => {
  const expected = "<ul></ul>\ntrue unsupported_environment false\n";
  assert.equal(project.node("page.mjs"), expected);
  project.tool("vite", "build", "--ssr", "page.mjs", "--logLevel", "warn");
  assert.equal(project.node("dist/page.js"), expected);
});

test("the WebAssembly module has an address of its own in the package", () => {
  const script = 'console.log(import.meta.resolve("@webwaka/realtime/engine.wasm"))';
  const resolved = project.node("--input-type=module", "--eval", script);
  assert.match(resolved, /@webwaka\/realtime\/dist\/engine\.wasm\n$/);
});
