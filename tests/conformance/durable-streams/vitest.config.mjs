import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

export default defineConfig({
  test: {
    root: here("."),
    include: ["suite.test.mjs"],
    globalSetup: [here("server.mjs")],
    setupFiles: [here("prefix.mjs")],
  },
});
