// The contract that every store passes, on IndexedDB in Firefox. Its cases are Rust: sdk_core::testing.
import assert from "node:assert/strict";
import { test } from "node:test";

import { serve } from "../stores/serve.mjs";
import { undo } from "../harness/cleanup.mjs";
import { firefox } from "./harness.mjs";

test("IndexedDB in Firefox passes the contract of every store", async (t) => {
  const site = await serve();
  undo(t, () => site.close());
  const tab = await (await firefox(t)).tab();
  let panicked;
  tab.on("console", (message) => (panicked ??= message.type() === "error" ? message.text() : undefined));

  const visit = async (path) => {
    await tab.goto(`http://127.0.0.1:${site.address().port}/${path}`);
    await tab.evaluate(async () => {
      globalThis.stores = await import("/pkg/browser-stores.js");
      await globalThis.stores.default();
    });
  };
  await visit("");
  const cases = await tab.evaluate(() => globalThis.stores.cases());
  assert.ok(cases.length > 10);
  for (const name of cases) {
    await t.test(name, async () => {
      panicked = undefined;
      await visit(name);
      // Cases expect an origin that holds nothing.
      await tab.evaluate(async () => {
        for (const { name } of await indexedDB.databases()) {
          await new Promise((done) => (indexedDB.deleteDatabase(name).onsuccess = done));
        }
      });
      // A panic never settles the promise of the case.
      await Promise.race([
        tab.evaluate((name) => globalThis.stores.runCase(name), name),
        new Promise((_, reject) => {
          const look = setInterval(() => {
            if (!panicked) return;
            clearInterval(look);
            reject(new Error(panicked));
          }, 50);
          t.after(() => clearInterval(look));
        }),
      ]);
    });
  }
});
