import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const BROKEN = '{"operations":[{"op":';

async function page(t) {
  const host = await server(t, { web: await fixtureSite(t) });
  const tab = await (await browser(t)).tab();
  await fixtureTab(tab, host.url(), { name: "damaged", mint: () => host.token("ada", 600) });
  await until("the link is up", () => tab.evaluate(() => client.status.link === "up"));
  return {
    host,
    tab,
    /** What a store of the closed outbox holds, by key, after some of it was written over. */
    raw: (store, written = []) =>
      tab.evaluate(
        ([store, written]) =>
          new Promise((done, failed) => {
            const opening = indexedDB.open("webwaka:damaged:outbox");
            opening.onerror = failed;
            opening.onsuccess = () => {
              const transaction = opening.result.transaction(store, "readwrite");
              const held = transaction.objectStore(store);
              for (const [key, text] of written) held.put(text, key);
              const [keys, texts] = [held.getAllKeys(), held.getAll()];
              transaction.oncomplete = () => {
                opening.result.close();
                done(keys.result.map((key, index) => [key, texts.result[index]]));
              };
            };
          }),
        [store, written],
      ),
    close: () => tab.evaluate(() => client.close()),
    async reopen() {
      await tab.reload();
      await tab.waitForFunction(() => globalThis.fixture !== undefined);
      await tab.evaluate(() => fixture.open("damaged"));
    },
    incidents: () => tab.evaluate(() => fixture.incidents.map(({ type, error }) => [type, error.code])),
    sent: () => until("everything is sent", () => tab.evaluate(() => client.status.pending === 0)),
  };
}

const ids = (host) =>
  database(host)
    .documents()
    .map(({ id }) => id)
    .sort();

const clients = (host) =>
  new Set(
    database(host)
      .judgements()
      .map(({ client }) => client),
  ).size;

test("a damaged record is told of and stays where it is; the other edit is sent under the same id", async (t) => {
  const { host, tab, raw, close, reopen, incidents, sent } = await page(t);
  await tab.evaluate(async () => {
    const cards = client.collection("cards");
    await (await cards.put("before", { n: 0 })).outcome();
    client.setNetwork(false);
    await cards.put("one", { n: 1 });
    await cards.put("two", { n: 2 });
  });
  await close();
  const records = await raw("records");
  const [[key]] = records.filter(([, text]) => text.includes('"one"'));
  await raw("records", [[key, BROKEN]]);

  await reopen();
  assert.deepEqual(await incidents(), [["storageDamaged", "storage_damaged"]]);
  await sent();
  await tab.evaluate(async () => (await client.collection("cards").put("three", { n: 3 })).outcome());
  assert.equal(await tab.evaluate(() => client.status.damaged), 1);
  assert.deepEqual(ids(host), ["before", "three", "two"]);
  assert.equal(clients(host), 1);
  database(host).assertEachOnce();
  await close();
  assert.deepEqual(
    (await raw("records")).find(([each]) => each === key),
    [key, BROKEN],
  );
});

test("edits of a client whose id is damaged stay where they are, and the next client sends none of them again", async (t) => {
  const { host, tab, raw, close, reopen, incidents, sent } = await page(t);
  await tab.evaluate(async () => {
    client.setNetwork(false);
    await client.collection("cards").increment("votes", { n: 1 });
  });
  await close();
  const before = await raw("records");
  await reopen();
  await sent();
  await close();
  // As if the client had died before it heard that the server had applied it.
  await raw("records", before);
  await raw("meta", [["client", '{"client":']]);

  await reopen();
  // Another id, and yet told once.
  assert.deepEqual(await incidents(), [["storageDamaged", "storage_damaged"]]);
  await tab.evaluate(async () => (await client.collection("cards").put("after", { n: 1 })).outcome());
  assert.equal(clients(host), 2);
  const votes = await tab.evaluate(async () => (await client.collection("cards").get("votes")).value.n);
  assert.equal(votes, 1);
  database(host).assertEachOnce();
  await close();
  const kept = await raw("records");
  for (const record of before)
    assert.deepEqual(
      kept.find(([key]) => key === record[0]),
      record,
    );

  // The next start has the same id as this one, and leaves the same alone.
  await reopen();
  assert.deepEqual(await incidents(), [["storageDamaged", "storage_damaged"]]);
  await tab.evaluate(async () => (await client.collection("cards").put("later", { n: 1 })).outcome());
  assert.equal(clients(host), 2);
});
