import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

/** What the events of a topic carry, as a program reads it that speaks plain HTTP. */
async function carried(host, topic) {
  const headers = { authorization: `Bearer ${host.token("shop", 600)}` };
  const answer = await fetch(`${host.url()}/v1/streams/${topic}?offset=-1`, { headers });
  assert.ok(answer.ok || answer.status === 404, `${answer.status}`);
  return answer.ok ? (await answer.json()).map(({ data }) => data) : [];
}

test("what is published offline in two tabs survives the end of the one that leads and is in its topic once", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const mint = () => host.token("ada", 600);
  const leader = await fixtureTab(await chromium.tab(), line.url, { name: "publish", mint });
  const other = await fixtureTab(await chromium.tab(), line.url, { name: "publish", mint });
  line.set("refused");
  for (const n of [0, 1, 2]) await leader.evaluate((n) => fixture.publish("orders/eu", n), n);
  for (const n of [10, 11]) await other.evaluate((n) => fixture.publish("orders/eu", n), n);
  for (const n of [20, 21, 22])
    await leader.evaluate((n) => fixture.publish("places", n, { coalesce: "bus" }), n);
  // The other goes on with what the first has left in the storage.
  await leader.close();
  assert.deepEqual(await carried(host, "orders/eu"), []);
  line.set("open");
  await other.evaluate(() => client.wake());
  await until("all arrive", async () => (await carried(host, "orders/eu")).length >= 5);
  const pending = () => other.evaluate(() => client.status.pending);
  await until("nothing is left", async () => (await pending()) === 0);
  assert.deepEqual(await carried(host, "orders/eu"), [0, 1, 2, 10, 11]);
  assert.deepEqual(await carried(host, "places"), [22]);
});

test("a refused event holds its topic until the page has mended it", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const options = { name: "refused", mint: () => host.token("ada", 600) };
  const tab = await fixtureTab(await (await browser(t)).tab(), host.url(), options);
  const told = await tab.evaluate(async () => {
    const topic = client.topic("log");
    const twice = { type: "t", id: "1", source: "/here", data: 1 };
    const first = await (await topic.publish(twice)).outcome();
    const refused = await topic.publish({ ...twice, data: 2 });
    const behind = await topic.publish({ type: "t", data: 3 });
    const { code } = await refused.outcome();
    const held = client.rejectedEvents().map(({ seq, topic }) => [seq, topic]);
    const mended = await topic.republish(refused, { type: "t", data: 4 });
    const last = await behind.outcome();
    return { first, code, held, seqs: [refused.seq, mended.seq], mended: await mended.outcome(), last };
  });
  assert.equal(told.code, "event_id_reused");
  assert.deepEqual(told.held, [[told.seqs[0], "log"]]);
  assert.equal(told.seqs[0], told.seqs[1]);
  assert.deepEqual(
    [told.first, told.mended, told.last].map(({ type, position }) => [
      type,
      parseInt(position.slice(17), 16),
    ]),
    [
      ["published", 1],
      ["published", 2],
      ["published", 3],
    ],
  );
  assert.deepEqual(await carried(host, "log"), [1, 4, 3]);
});
