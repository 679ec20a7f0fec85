import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const READER = fileURLToPath(new URL("stores/pkg/", import.meta.url));

test("another library finds every resolved edit on the disk after a kill, and none once all are sent", async (t) => {
  const site = await fixtureSite(t);
  await addReader(site);
  const host = await server(t, { web: site });
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const mint = () => host.token("ada", 600);
  const open = async () => fixtureTab(await chromium.tab(), line.url, { name: "stored", mint });

  const tab = await open();
  await tab.evaluate(() => client.collection("cards").put("sent", { title: "before" }));
  await settled(tab);
  line.set("page only");
  await until("the line is down", () => tab.evaluate(() => client.status.link === "down"));
  const submitted = await tab.evaluate(async () => {
    const cards = client.collection("cards");
    const put = (number) => cards.put(`card-${number}`, { number });
    const edits = [
      cards.update("sent", { title: "after" }),
      ...Array.from({ length: 200 }, (_, index) => put(index)),
    ];
    return (await Promise.all(edits)).map(({ seq }) => seq);
  });
  await chromium.kill();
  await chromium.start();

  const pending = await stored(await chromium.tab(), line.url);
  assert.deepEqual(
    pending.operations.map(({ op }) => op.seq),
    submitted,
  );
  assert.deepEqual(pending.operations[0].op.intents, [{ set: { title: "after" } }]);
  assert.deepEqual(pending.operations.at(-1).op.doc, ["cards", "card-199"]);
  // The replica has what the server had acknowledged, and not what it had not.
  assert.deepEqual(pending.documents, ["sent"]);
  assert.match(pending.texts[0], /"before"/);

  line.set("open");
  const again = await open();
  await settled(again);
  await again.evaluate(() => client.close());
  await again.close();
  const sent = await stored(await chromium.tab(), line.url);
  assert.deepEqual(sent.operations, []);
  assert.equal(sent.documents.length, 201);
});

const settled = (tab) => until("everything is sent", () => tab.evaluate(() => client.status.pending === 0));

/** What the reader, which shares no code with the client, finds in the two databases. */
test("what is stored is opened while the engine is on its way, and let go of with the client", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const chromium = await browser(t);
  const mint = () => host.token("ada", 600);
  const first = await fixtureTab(await chromium.tab(), host.url(), { name: "early", mint });
  await first.evaluate(() => client.close());
  await first.close();

  const tab = await chromium.tab();
  await tab.addInitScript(() => {
    globalThis.opened = new Set();
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...args) {
      const request = open.apply(this, args);
      request.addEventListener("success", () => globalThis.opened.add(request.result));
      return request;
    };
    const { close } = IDBDatabase.prototype;
    IDBDatabase.prototype.close = function () {
      globalThis.opened.delete(this);
      return close.call(this);
    };
  });
  const names = () => tab.evaluate(() => [...globalThis.opened].map(({ name }) => name));
  await tab.route("**/engine.wasm", async (route) => {
    await until("the outbox is open", async () => (await names()).includes("webwaka:early:outbox"));
    await route.continue();
  });
  await fixtureTab(tab, host.url(), { name: "early", mint });
  assert.equal(await tab.evaluate(() => client.status.durable), true);
  await tab.evaluate(() => client.close());
  await until("nothing is open", async () => (await names()).length === 0);
});

async function stored(tab, url) {
  await tab.goto(`${url}/reader.html`);
  await tab.waitForFunction(() => globalThis.reader !== undefined);
  const found = await tab.evaluate(() => reader.readStored("stored"));
  await tab.close();
  return {
    operations: found.outbox.flatMap(([, text]) => JSON.parse(text).operations),
    documents: found.documents.map(([, id]) => id),
    texts: found.documents.map(([, , text]) => text),
  };
}

async function addReader(site) {
  if (!existsSync(READER)) throw new Error(`no reader in ${READER}: cargo xtask ci wasm builds it`);
  for (const file of ["rexie-reader.js", "rexie-reader_bg.wasm"])
    await copyFile(join(READER, file), join(site, file));
  const script =
    "import init, * as reader from './rexie-reader.js'; await init(); globalThis.reader = reader;";
  await writeFile(join(site, "reader.js"), script);
  await writeFile(join(site, "reader.html"), "<!doctype html><script type=module src=/reader.js></script>");
}
