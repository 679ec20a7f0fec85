import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { keepInstances } from "./harness/ruin.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

async function page(t) {
  const host = await server(t, { web: await fixtureSite(t) });
  const tab = await (await browser(t)).tab();
  const uncaught = [];
  tab.on("pageerror", (error) => uncaught.push(error.message));
  await tab.addInitScript(keepInstances);
  await fixtureTab(tab, host.url(), { name: "panic", mint: () => host.token("ada", 600) });
  const live = () => until("the link is up", () => tab.evaluate(() => client.status.link === "up"));
  await live();
  return { host, tab, uncaught, live };
}

const incidents = (tab) => tab.evaluate(() => fixture.incidents.map(({ type, error }) => [type, error.code]));

test("after a trap the engine is back in the same page; handles, live queries and loops go on", async (t) => {
  const { host, tab, uncaught, live } = await page(t);
  await tab.evaluate(async () => {
    const cards = client.collection("cards");
    globalThis.seen = [];
    globalThis.query = cards.live();
    query.subscribe(() => seen.push(query.getSnapshot().length));
    void (async () => {
      for await (const docs of cards.watch()) globalThis.looped = docs.map(({ id }) => id);
    })();
    await (await cards.put("before", { n: 1 })).outcome();
    client.setNetwork(false);
    globalThis.waiting = await cards.put("offline", { n: 2 });
    globalThis.outcome = waiting.outcome();
    ruin();
    // The next thing that the page does hits the trap.
    globalThis.rejection = await cards.put("during", { n: 3 }).then(
      () => "kept",
      ({ code, retryable }) => [code, retryable],
    );
    globalThis.after = await cards.put("after", { n: 4 });
  });
  assert.deepEqual(await tab.evaluate(() => rejection), ["engine_restarted", true]);
  assert.deepEqual(await incidents(tab), [["engineRestarted", "engine_restarted"]]);
  assert.equal(await tab.evaluate(() => instances.length), 2);
  // What was not to be sent is not sent by the new instance either.
  assert.deepEqual(await tab.evaluate(() => [client.status.network, client.status.pending]), [false, 2]);
  await until("the loop shows the new edit", () => tab.evaluate(() => looped.includes("after")));

  await tab.evaluate(() => client.setNetwork(true));
  await live();
  assert.equal(await tab.evaluate(async () => (await outcome).type), "accepted");
  assert.equal(await tab.evaluate(async () => (await after.outcome()).type), "accepted");
  const ids = ["after", "before", "offline"];
  assert.deepEqual(await tab.evaluate(() => query.getSnapshot().map(({ id }) => id)), ids);
  const counts = await tab.evaluate(() => seen);
  assert.deepEqual(counts, [...counts].sort(), "no document ever went out of view");
  assert.deepEqual(uncaught, []);
  const stored = database(host);
  stored.assertEachOnce();
  assert.deepEqual(
    stored
      .documents()
      .map(({ id }) => id)
      .sort(),
    ids,
  );
});

for (const delay of [undefined, 0, 1, 2, 4, 8]) {
  const when = delay === undefined ? "before their commit begins" : `${delay} ms into their commit`;
  test(`a trap ${when} leaves no edit in doubt: confirmed and kept once, or refused and not kept`, async (t) => {
    const { host, tab, live } = await page(t);
    const told = await tab.evaluate(async (delay) => {
      const cards = client.collection("cards");
      const burst = Array.from({ length: 50 }, (_, n) => cards.put(`card-${n}`, { z: n, a: "text" }));
      if (delay !== undefined) await new Promise((resolve) => setTimeout(resolve, delay));
      ruin();
      try {
        client.wake();
      } catch (error) {
        if (error.code !== "engine_restarted") throw error;
      }
      const saved = (await Promise.allSettled(burst)).map(({ value }) => value);
      return Promise.all(saved.map(async (operation) => operation && (await operation.outcome()).type));
    }, delay);
    await live();
    await until("everything is sent", () => tab.evaluate(() => client.status.pending === 0));
    assert.deepEqual(await incidents(tab), [["engineRestarted", "engine_restarted"]]);
    const stored = database(host);
    if (stored.held.collections.length > 0) stored.assertEachOnce();
    const kept = new Set(stored.documents().map(({ id }) => id));
    told.forEach((outcome, n) =>
      assert.equal(outcome === "accepted", kept.has(`card-${n}`), `card-${n}: ${outcome}`),
    );
  });
}

test("an engine that fails again and again is given up with a reason, and nothing stored is lost", async (t) => {
  const { host, tab, live } = await page(t);
  await tab.evaluate(async () => {
    client.setNetwork(false);
    globalThis.kept = await client.collection("cards").put("kept", { n: 1 });
    globalThis.outcome = kept.outcome().catch(({ code }) => code);
  });
  for (let time = 1; time <= 6; time += 1) {
    await tab
      .evaluate(() => {
        ruin();
        client.wake();
      })
      .catch(() => {});
    await until(`incident ${time}`, async () => (await incidents(tab)).length === time);
  }
  const types = (await incidents(tab)).map(([type]) => type);
  assert.deepEqual(types, [...Array(5).fill("engineRestarted"), "engineFailed"]);
  const end = await tab.evaluate(async () => [
    client.status.link,
    client.status.problem.code,
    await client
      .collection("cards")
      .put("more", { n: 2 })
      .catch(({ code }) => code),
    await outcome,
  ]);
  assert.deepEqual(end, ["down", "engine_failed", "engine_failed", "closed"]);

  await tab.reload();
  await tab.waitForFunction(() => globalThis.fixture !== undefined);
  await tab.evaluate(() => fixture.open("panic"));
  await live();
  await until("everything is sent", () => tab.evaluate(() => client.status.pending === 0));
  assert.deepEqual(
    database(host)
      .documents()
      .map(({ id }) => id),
    ["kept"],
  );
});
