// What is on the disk when a client encrypts it, and who can read that.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { open, start } from "./harness.mjs";

const tests = await start();
after(() => tests.stop());

/** In the page: makes `ada` and `ben`, two keys that never change. */
async function keys() {
  const { aesGcm } = await import("/encryption.js");
  const named = async (name) => {
    const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(name));
    return aesGcm(await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]));
  };
  globalThis.ada = await named("ada");
  globalThis.ben = await named("ben");
}

/** In the page: every text that the databases hold, whatever it says. */
async function everyText() {
  const texts = [];
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise((opened) => {
      indexedDB.open(name).onsuccess = (event) => opened(event.target.result);
    });
    // Who may write has changed; what is written has not.
    for (const store of [...database.objectStoreNames].filter((name) => name !== "fence")) {
      const rows = await new Promise((read) => {
        database.transaction(store).objectStore(store).getAll().onsuccess = (event) =>
          read(event.target.result);
      });
      texts.push(...rows.map((row) => `${store}: ${row}`));
    }
    database.close();
  }
  return texts;
}

/** In the page: a store with an operation and a document, and let go. */
async function write(cipher) {
  const store = await globalThis.stores.HeldStore.open("app", cipher);
  await store.writeOutbox(1, "secret operation");
  await store.writeReplica(["a"], "secret document", false);
  store.close();
}

function encrypted(name, body) {
  test(name, () =>
    tests.inProfile(async (profile) => {
      const { run } = await open(profile, tests.url);
      await run(keys);
      await body(run);
    }),
  );
}

encrypted("nothing that was written can be read on the disk, but by who has the key", async (run) => {
  await run(`(${write})(ada)`);
  const texts = await run(everyText);
  assert.ok(texts.length >= 4, texts.join("\n"));
  assert.ok(!texts.some((text) => /secret|meta:.*meta/.test(text)), texts.join("\n"));
  const read = await run(async () => {
    const store = await globalThis.stores.HeldStore.open("app", globalThis.ada);
    return { outbox: await store.outbox(), documents: await store.texts() };
  });
  assert.deepEqual(read, { outbox: ["secret operation"], documents: ["secret document"] });
});

for (const [who, cipher] of [
  ["another key", "ben"],
  ["no key", "undefined"],
]) {
  encrypted(`with ${who} nothing is read, and nothing is thrown away`, async (run) => {
    await run(`(${write})(ada)`);
    const before = await run(everyText);
    const reading = `globalThis.stores.HeldStore.open("app", ${cipher}).then((store) =>
      store.outbox().finally(() => store.close()))`;
    await assert.rejects(run(reading), /Locked/);
    assert.deepEqual(await run(everyText), before);
    const outbox = `globalThis.stores.HeldStore.open("app", ada).then((store) => store.outbox())`;
    assert.deepEqual(await run(outbox), ["secret operation"]);
  });
}

encrypted("what was written before encryption was asked for is encrypted at the next start", async (run) => {
  await run(`(${write})(undefined)`);
  assert.ok((await run(everyText)).some((text) => text.includes("secret operation")));
  const read = await run(async () => {
    const store = await globalThis.stores.HeldStore.open("app", globalThis.ada);
    return { outbox: await store.outbox(), cursors: await store.cursors() };
  });
  assert.deepEqual(read.outbox, ["secret operation"]);
  assert.ok(!(await run(everyText)).some((text) => /records: secret|meta: meta/.test(text)));
});

encrypted("a record in the place of another one does not open", async (run) => {
  const swapped = await run(async () => {
    const store = await globalThis.stores.HeldStore.open("app", globalThis.ada);
    await store.writeOutbox(1, "one");
    await store.writeOutbox(2, "two");
    store.close();
    const database = await new Promise((opened) => {
      indexedDB.open("webwaka:app:outbox").onsuccess = (event) => opened(event.target.result);
    });
    await new Promise((done) => {
      const transaction = database.transaction("records", "readwrite");
      const records = transaction.objectStore("records");
      records.get(1).onsuccess = (event) => records.put(event.target.result, 2);
      transaction.oncomplete = done;
    });
    database.close();
    const again = await globalThis.stores.HeldStore.open("app", globalThis.ada);
    return again.outbox().catch((error) => error.message);
  });
  assert.match(swapped, /Locked/);
});
