// The page comes back with the application two versions newer, over what the earlier one has left on the device.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

/** A server, a line to it, and a browser that opens the application at some version. */
async function setUp(t) {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const at = async (schema) => {
    const tab = await chromium.tab();
    await tab.exposeFunction("mint", () => host.token("ada", 600));
    await tab.goto(line.url);
    await tab.waitForFunction(() => globalThis.fixture !== undefined);
    await tab.evaluate((schema) => fixture.open("app", undefined, schema), schema);
    return tab;
  };
  return { host, line, at };
}

/** Changes the title, which is the name from the second version on; resolves when it is durable. */
const edit = (tab, id, fields) =>
  tab.evaluate(
    async ([id, fields]) => {
      const { durable } = await client.collection("cards").update(id, fields);
      return durable;
    },
    [id, fields],
  );

const value = (tab, id) => tab.evaluate(async (id) => (await client.collection("cards").get(id))?.value, id);

const linked = (tab) => until("the link is up", () => tab.evaluate(() => client.status.link === "up"));

const drained = (tab) =>
  until("nothing waits any more", () =>
    tab.evaluate(() => client.status.pending === 0 && client.status.link === "up"),
  );

function stored(host) {
  const held = database(host);
  held.assertEachOnce();
  return {
    documents: Object.fromEntries(held.documents().map(({ id, values }) => [id, values])),
    judged: held.judgements().length,
    clients: held.held.clients.length,
  };
}

test("edits that waited offline arrive once, in the form of two versions later", async (t) => {
  const { host, line, at } = await setUp(t);
  const old = await at(1);
  await linked(old);
  line.set("page only");
  assert.ok(await edit(old, "a", { title: "A" }));
  assert.ok(await edit(old, "b", { title: "B" }));
  assert.ok(await edit(old, "unfit", { title: "C" }));
  await old.close();

  const tab = await at(3);
  assert.deepEqual(await value(tab, "a"), { name: "A", format: 3 }, "as nobody has seen it before");
  assert.ok(await edit(tab, "a", { name: "A, again" }), "the new version goes on with it");
  const rejected = await tab.evaluate(() => client.rejected());
  assert.deepEqual(
    rejected.map(({ id, code, schema, intents }) => ({ id, code, schema, intents })),
    [{ id: "unfit", code: "migration_failed", schema: 1, intents: [{ set: { title: "C" } }] }],
  );
  line.set("open");
  await drained(tab);
  assert.deepEqual(stored(host), {
    documents: { a: { name: "A, again", format: 3 }, b: { name: "B", format: 3 } },
    judged: 3,
    clients: 1,
  });
});

test("an edit that had arrived without an answer has no second effect in its new form", async (t) => {
  const { host, line, at } = await setUp(t);
  const old = await at(1);
  await linked(old);
  line.set("deaf");
  assert.ok(await edit(old, "a", { title: "A" }));
  await until("the server has it", () => database(host).judgements().length === 1);
  line.set("page only");
  assert.ok(await edit(old, "b", { title: "B" }));
  await old.close();

  // The version between keeps its form, and meets no network.
  const between = await at(2);
  assert.deepEqual(await value(between, "a"), { name: "A" });
  assert.ok(await edit(between, "c", { name: "C" }));
  await between.close();

  const tab = await at(3);
  line.set("open");
  await drained(tab);
  assert.deepEqual(stored(host), {
    documents: { a: { title: "A" }, b: { name: "B", format: 3 }, c: { name: "C", format: 3 } },
    judged: 3,
    clients: 1,
  });
  assert.deepEqual(await tab.evaluate(() => client.rejected()), []);
  await until("everyone sees what the server has", async () => (await value(tab, "a"))?.title === "A");
});

test("tabs at two versions: what the older one edits is migrated by the newer one that leads", async (t) => {
  const { host, at } = await setUp(t);
  const [newer, older] = [await at(3), await at(1)];
  assert.equal(await older.evaluate(() => client.status.role), "follower");
  assert.ok(await edit(older, "a", { title: "A" }));
  assert.ok(await edit(newer, "b", { name: "B" }));
  await drained(newer);
  assert.deepEqual(stored(host), {
    documents: { a: { name: "A", format: 3 }, b: { name: "B" } },
    judged: 2,
    clients: 1,
  });
});

test("tabs at two versions: an older one that leads sends what the newer one edits as it is", async (t) => {
  const { host, line, at } = await setUp(t);
  const [older, newer] = [await at(1), await at(3)];
  assert.equal(await newer.evaluate(() => client.status.role), "follower");
  await linked(older);
  line.set("page only");
  assert.ok(await edit(newer, "a", { name: "A" }));
  assert.ok(await edit(older, "b", { title: "B" }));
  line.set("open");
  await drained(older);
  assert.deepEqual(stored(host), {
    documents: { a: { name: "A" }, b: { title: "B" } },
    judged: 2,
    clients: 1,
  });
});
