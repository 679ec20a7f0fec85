import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

async function page(t, quotaSize) {
  const host = await server(t, { web: await fixtureSite(t) });
  const tab = await (await browser(t)).tab();
  const devtools = await tab.context().newCDPSession(tab);
  const origin = new URL(host.url()).origin;
  // Before the first write: Chromium remembers for a while how much room there was.
  if (quotaSize) await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize });
  await fixtureTab(tab, host.url(), { name: "wiped", mint: () => host.token("ada", 600) });
  await until("the link is up", () => tab.evaluate(() => client.status.link === "up"));
  return {
    host,
    tab,
    devtools: (method, options) => devtools.send(method, { origin, ...options }),
    incidents: () => tab.evaluate(() => fixture.incidents.map(({ type, error }) => [type, error.code])),
    sent: () => until("everything is sent", () => tab.evaluate(() => client.status.pending === 0)),
    async reload() {
      await tab.reload();
      await tab.waitForFunction(() => globalThis.fixture !== undefined);
      await tab.evaluate(() => fixture.open("wiped"));
    },
  };
}

const ids = (host) =>
  database(host)
    .documents()
    .map(({ id }) => id)
    .sort();

const WIPES = {
  "the user clears the site's storage": ({ devtools }) =>
    devtools("Storage.clearDataForOrigin", { storageTypes: "indexeddb" }),
  "another page deletes the databases": async ({ tab, host }) => {
    const other = await tab.context().newPage();
    await other.goto(host.url());
    await other.evaluate(async () => {
      for (const name of ["webwaka:wiped:outbox", "webwaka:wiped:replica"])
        await new Promise((done, failed) => {
          const request = indexedDB.deleteDatabase(name);
          request.onsuccess = done;
          request.onerror = request.onblocked = failed;
        });
    });
    await other.close();
  },
};

for (const [how, wipe] of Object.entries(WIPES)) {
  test(`${how} while offline edits wait: they are saved again, told of, and sent once`, async (t) => {
    const at = await page(t);
    const { host, tab, incidents } = at;
    const before = await tab.evaluate(async () => {
      const cards = client.collection("cards");
      await (await cards.put("sent", { n: 0 })).outcome();
      client.setNetwork(false);
      const waiting = [await cards.put("one", { n: 1 }), await cards.put("two", { n: 2 })];
      return waiting.map(({ id }) => id);
    });
    await wipe(at);
    await until("the loss is told", async () => (await incidents()).length === 1);
    assert.deepEqual(await incidents(), [["storageLost", "storage_lost"]]);
    // The page goes on.
    const after = await until("an edit is saved", () =>
      tab.evaluate(async () => {
        const { id, durable } = await client.collection("cards").put("three", { n: 3 });
        return durable && id;
      }),
    );
    assert.ok(!before.includes(after));
    // What is in the storage now is all there is: the page goes away and comes back.
    await at.reload();
    await at.sent();
    assert.deepEqual(ids(host), ["one", "sent", "three", "two"]);
    database(host).assertEachOnce();
    assert.equal(
      new Set(
        database(host)
          .judgements()
          .map(({ client }) => client),
      ).size,
      1,
    );
  });
}

test("a store that was evicted while no page was open is told of, and begins anew under another id", async (t) => {
  const { host, tab, devtools, incidents, reload, sent } = await page(t);
  await tab.evaluate(() => client.collection("cards").put("before", { n: 1 }));
  await sent();
  await tab.evaluate(() => client.close());
  await devtools("Storage.clearDataForOrigin", { storageTypes: "indexeddb" });
  await reload();
  assert.deepEqual(await incidents(), [["storageWiped", "storage_wiped"]]);
  await tab.evaluate(() => client.collection("cards").put("after", { n: 2 }));
  await sent();
  assert.equal(
    new Set(
      database(host)
        .judgements()
        .map(({ client }) => client),
    ).size,
    2,
  );
  // Told once.
  await reload();
  assert.deepEqual(await incidents(), []);
});

test("a full disk refuses the edit with its reason, loses nothing, and takes edits again when there is room", async (t) => {
  const { host, tab, devtools, sent } = await page(t, 1_000_000);
  await tab.evaluate(async () => {
    client.setNetwork(false);
    await client.collection("cards").put("small", { n: 1 });
  });
  const put = (id) =>
    tab.evaluate(
      (id) =>
        client
          .collection("cards")
          .put(id, { text: "x".repeat(60_000) })
          .then(
            () => "saved",
            ({ code, retryable }) => `${code}, ${retryable}`,
          ),
      id,
    );
  const saved = [];
  const refusal = await until("an edit is refused", async () => {
    const id = `large-${saved.length}`;
    const answer = await put(id);
    if (answer !== "saved") return answer;
    saved.push(id);
  });
  assert.equal(refusal, "storage_full, true");
  assert.equal(await tab.evaluate(() => client.status.durable), true);
  await devtools("Storage.overrideQuotaForOrigin", {});
  await until("there is room again", async () => (await put("room")) === "saved");
  await tab.evaluate(() => client.setNetwork(true));
  await sent();
  assert.deepEqual(ids(host), [...saved, "room", "small"].sort());
  database(host).assertEachOnce();
});

test("an upgrade that another page blocks is told of, and goes on when that page lets go", async (t) => {
  const { tab, host, incidents } = await page(t);
  await tab.evaluate(() => client.close());
  // A page of a program that does not close its databases when it is asked to.
  const other = await tab.context().newPage();
  await other.goto(host.url());
  await other.evaluate(
    () =>
      new Promise((done, failed) => {
        const request = indexedDB.open("webwaka:blocked:outbox", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("records");
        request.onsuccess = () => done(void (globalThis.held = request.result));
        request.onerror = failed;
      }),
  );
  await tab.evaluate(() => {
    // What a later release does: the same stores, in a newer version.
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (name, version) {
      return open.call(this, name, version && version + 1);
    };
    globalThis.opening = fixture.open("blocked").then(() => "open");
  });
  await until("it is told", async () => (await incidents()).length === 1);
  assert.deepEqual(await incidents(), [["upgradeBlocked", "upgrade_blocked"]]);
  await other.evaluate(() => held.close());
  assert.equal(await tab.evaluate(() => opening), "open");
  assert.equal(await tab.evaluate(() => client.status.durable), true);
});

test("the browser is asked to keep the storage, and the status says what it answered", async (t) => {
  const { tab } = await page(t);
  const storage = await until("it is known", () => tab.evaluate(() => client.status.storage));
  assert.equal(storage.persisted, await tab.evaluate(() => navigator.storage.persisted()));
  assert.ok(storage.quota > storage.usage && storage.usage > 0, JSON.stringify(storage));
});
