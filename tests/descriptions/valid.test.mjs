// The descriptions are what others take for OpenAPI and AsyncAPI. Whether they are true is for the tests of the server.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Parser } from "@asyncapi/parser";
import { compileErrors, validate } from "@readme/openapi-parser";

const file = (/** @type {string} */ name) => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

/** What the parser calls an error; the others are advice. */
const ERROR = 0;

test("docs/openapi.yaml is OpenAPI 3.1", async () => {
  const result = await validate(file("openapi.yaml"));
  assert.ok(result.valid, result.valid ? "" : compileErrors(result));
});

test("docs/asyncapi.yaml is AsyncAPI 3.0", async () => {
  const { document, diagnostics } = await new Parser().parse(await readFile(file("asyncapi.yaml"), "utf8"));
  const errors = diagnostics.filter(({ severity }) => severity === ERROR);
  assert.deepEqual(errors, []);
  assert.equal(document?.version(), "3.0.0");
});
