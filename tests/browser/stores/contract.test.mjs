// The contract that every store passes, on IndexedDB in Chromium, in the clear and encrypted. Its cases are Rust: sdk_core::testing.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { open, start } from "./harness.mjs";

const tests = await start();
after(() => tests.stop());

let cases;
await tests.inProfile(async (profile) => {
  const { run } = await open(profile, tests.url);
  cases = await run(() => globalThis.stores.cases());
});

test("the contract has cases", () => assert.ok(cases.length > 10));

for (const name of cases) {
  test(name, () =>
    tests.inProfile(async (profile) => {
      const { run } = await open(profile, tests.url);
      await run((name) => globalThis.stores.runCase(name), name);
    }),
  );
  test(`encrypted: ${name}`, () =>
    tests.inProfile(async (profile) => {
      const { run } = await open(profile, tests.url);
      await run(async (name) => {
        const { aesGcm } = await import("/encryption.js");
        const algorithm = { name: "AES-GCM", length: 256 };
        const key = await crypto.subtle.generateKey(algorithm, false, ["encrypt", "decrypt"]);
        await globalThis.stores.runCase(name, aesGcm(key));
      }, name);
    }));
}
