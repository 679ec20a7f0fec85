/** The package's types in a strict TypeScript project that checks its libraries too. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { after, before } from "node:test";
import { Project, quickStart } from "./setup/project.mjs";

const CONSUMER = readFileSync(new URL("setup/consumer.ts", import.meta.url), "utf8");

/** @param {object} options */
const config = (options) =>
  JSON.stringify({
    compilerOptions: {
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      target: "es2022",
      types: [],
      ...options,
    },
    include: ["*.ts"],
  });

/** @type {Project} */
let project;
before(() => {
  project = new Project(
    {
      "package.json": '{ "name": "empty", "private": true, "type": "module" }',
      "consumer.ts": CONSUMER,
      "quick_start.ts": quickStart(),
      "bundler.json": config({ module: "esnext", moduleResolution: "bundler", lib: ["es2022", "dom"] }),
      "node.json": config({ module: "nodenext", lib: ["es2022", "dom"] }),
      "exact.json": config({
        module: "esnext",
        moduleResolution: "bundler",
        lib: ["esnext", "dom"],
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noPropertyAccessFromIndexSignature: true,
      }),
    },
    ["typescript"],
  );
});
after(() => project?.remove());

for (const name of ["bundler", "node", "exact"]) {
  test(`a strict consumer compiles, and its mistakes do not (${name})`, () => {
    project.tool("tsc", "-p", `${name}.json`);
  });
}

test("the package holds what it is made of and nothing else", () => {
  const entries = ["background-sync", "encryption", "index", "node"];
  const shared = [
    "documents",
    "errors",
    "outcome",
    "rooms",
    "schema",
    "status",
    "topics",
    "transactions",
    "types",
  ];
  const declared = [...entries, ...shared].map((name) => `${name}.d.ts`);
  const built = ["engine.wasm", ...entries.flatMap((name) => [`${name}.js`, `${name}.js.map`])];
  assert.deepEqual(readdirSync(project.installed("dist")).sort(), [...declared, ...built].sort());
  const own = readdirSync(project.installed(".")).filter((name) => name !== "node_modules");
  assert.deepEqual(own.sort(), ["LICENSE", "README.md", "dist", "package.json"]);
});

test("the project's README has the same quick start as the package's", () => {
  assert.equal(quickStart(fileURLToPath(new URL("../../README.md", import.meta.url))), quickStart());
});

test("the declarations are those of the snapshot", () => {
  const snapshot = new URL("../../npm/api/", import.meta.url);
  const names = readdirSync(snapshot);
  assert.ok(names.includes("index.d.ts"));
  for (const name of names) {
    const text = readFileSync(join(project.installed("dist"), name), "utf8");
    assert.equal(text, readFileSync(new URL(name, snapshot), "utf8"), `${name} is not what npm/api has`);
  }
});
