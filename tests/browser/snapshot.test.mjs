import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const DOCUMENTS = 1_500;

/** In the page, before anything else: notes each request and how it may use the browser's cache. */
function noteRequests() {
  globalThis.requests = [];
  const { fetch } = globalThis;
  globalThis.fetch = (url, options) => {
    globalThis.requests.push([new URL(url, location.href).pathname, options?.cache]);
    return fetch(url, options);
  };
}

for (const [how, passphrase, cache] of [
  ["is fetched as a snapshot that the browser may cache", undefined, "default"],
  ["leaves nothing in the browser's cache where storage is encrypted", "a secret", "no-store"],
]) {
  test(`a large collection ${how}, and stays readable offline`, async (t) => {
    const host = await server(t, { web: await fixtureSite(t) });
    const options = (name, subject) => ({ name, mint: () => host.token(subject, 600) });
    const ada = await fixtureTab(await (await browser(t)).tab(), host.url(), options("writer", "ada"));
    await ada.evaluate((count) => {
      const cards = client.collection("cards");
      const ids = Array.from({ length: count }, (_, number) => `card-${String(number).padStart(5, "0")}`);
      return Promise.all(ids.map((id) => cards.put(id, { id, text: "x".repeat(200) }))).then(() => undefined);
    }, DOCUMENTS);
    await until("the server has them", () => ada.evaluate(() => client.status.pending === 0), 60_000);

    const tab = await (await browser(t)).tab();
    await tab.addInitScript(noteRequests);
    const { name, mint } = options("reader", "ben");
    await tab.exposeFunction("mint", mint);
    await tab.goto(host.url());
    await tab.waitForFunction(() => globalThis.fixture !== undefined);
    await tab.evaluate(([name, passphrase]) => fixture.open(name, passphrase), [name, passphrase]);
    const count = () =>
      tab.evaluate(async () => {
        const all = client.collection("cards").live();
        for await (const documents of all) {
          all.close();
          return documents.length;
        }
      });
    await until("the reader has them", async () => (await count()) === DOCUMENTS, 60_000);
    const requests = await tab.evaluate(() => globalThis.requests);
    const chunks = requests.filter(([path]) => /^\/v1\/snapshots\/cards\/chunks\//.test(path));
    assert.ok(chunks.length > 0, JSON.stringify(requests));
    assert.deepEqual([...new Set(chunks.map(([, mode]) => mode))], [cache]);

    // What it has is on the device.
    await host.stop();
    await tab.evaluate(() => client.close());
    await tab.evaluate(([name, passphrase]) => fixture.open(name, passphrase), [name, passphrase]);
    assert.equal(await count(), DOCUMENTS);
  });
}
