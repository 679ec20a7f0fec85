// The package in Firefox, against the real server.
import assert from "node:assert/strict";
import { test } from "node:test";

import { database } from "../harness/database.mjs";
import { fixtureSite } from "../harness/fixture.mjs";
import { proxy } from "../harness/proxy.mjs";
import { server } from "../harness/server.mjs";
import { until } from "../harness/until.mjs";
import { firefox, openClient } from "./harness.mjs";

const KILLS = Number(process.env.WAKA_KILLS ?? 3);

/** Submits documents of these names, and tells which were reported durable. */
function put(tab, ids) {
  return tab.evaluate(async (ids) => {
    const cards = globalThis.client.collection("cards");
    const submitted = ids.map(async (id) => ((await cards.put(id, { id })).durable ? id : undefined));
    return (await Promise.all(submitted)).filter((id) => id !== undefined);
  }, ids);
}

test(`edits made offline in Firefox outlive a reload and ${KILLS} kills, and reach the server once`, async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const browser = await firefox(t);
  const durable = [];

  let tab = await browser.tab();
  await openClient(tab, host, line.url, "firefox");
  await until("it is connected", () => tab.evaluate(() => globalThis.client.status.link === "up"));
  line.set("page only");
  durable.push(...(await put(tab, ["before the reload"])));
  await tab.reload();
  await tab.waitForFunction(() => globalThis.fixture !== undefined);
  await tab.evaluate(() => globalThis.fixture.open("firefox"));
  const held = await tab.evaluate(() => globalThis.client.collection("cards").get("before the reload"));
  assert.equal(held.pending, true);

  for (let kill = 0; kill < KILLS; kill += 1) {
    const ids = Array.from({ length: 20 }, (_, number) => `${kill}-${number}`);
    durable.push(...(await put(tab, ids)));
    await browser.kill();
    await browser.start();
    tab = await browser.tab();
    await openClient(tab, host, line.url, "firefox");
  }
  assert.equal(durable.length, 1 + 20 * KILLS, "all were reported durable");
  assert.equal(await tab.evaluate(() => globalThis.client.status.pending), durable.length);

  line.set("open");
  await tab.evaluate(() => globalThis.client.wake());
  await until(
    "the outbox is empty",
    () => tab.evaluate(() => globalThis.client.status.pending === 0),
    120_000,
  );
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertHolds(durable);
});
