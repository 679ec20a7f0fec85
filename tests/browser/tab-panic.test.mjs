// The engine of the tab that leads hits a trap: those that follow need not notice.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { keepInstances } from "./harness/ruin.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const FOLLOWERS = 2;

/** A leader whose engine can be ruined, and followers. */
async function setUp(t) {
  const host = await server(t, { web: await fixtureSite(t) });
  const chromium = await browser(t);
  const tabs = [];
  for (let left = 1 + FOLLOWERS; left > 0; left -= 1) {
    const page = await chromium.tab();
    await page.addInitScript(keepInstances);
    tabs.push(await fixtureTab(page, host.url(), { name: "panic", mint: () => host.token("ada", 600) }));
  }
  const [leader, ...followers] = tabs;
  const roles = await Promise.all(tabs.map((tab) => tab.evaluate(() => client.status.role)));
  assert.deepEqual(roles, ["leader", "follower", "follower"]);
  await until("the link is up", () => leader.evaluate(() => client.status.link === "up"));
  return { host, tabs, leader, followers };
}

/** Puts documents at once, and tells later which of them were confirmed. */
const begin = (tab, prefix) =>
  tab.evaluate((prefix) => {
    const cards = client.collection("cards");
    const burst = Array.from({ length: 30 }, (_, n) => [
      `${prefix}-${n}`,
      cards.put(`${prefix}-${n}`, { n }),
    ]);
    globalThis.told = Promise.all(
      burst.map(([id, put]) =>
        put.then(
          async (operation) => ({ id, seq: operation.seq, outcome: (await operation.outcome()).type }),
          ({ code }) => ({ id, refused: code }),
        ),
      ),
    );
  }, prefix);

const told = (tab) => tab.evaluate(() => globalThis.told);

for (const delay of [0, 2, 8, 30]) {
  test(`a trap in the leader ${delay} ms into the edits of all tabs: followers go on, nothing is lost or doubled`, async (t) => {
    const { host, tabs, leader, followers } = await setUp(t);
    await Promise.all(tabs.map((tab) => tab.evaluate(() => fixture.shown())));
    await Promise.all(followers.map((tab, index) => begin(tab, `follower-${index}`)));
    await begin(leader, "leader");
    await leader.evaluate(async (delay) => {
      await new Promise((resolve) => setTimeout(resolve, delay));
      ruin();
      try {
        client.wake();
      } catch (error) {
        if (error.code !== "engine_restarted") throw error;
      }
    }, delay);
    const [ofLeader, ...ofFollowers] = await Promise.all(tabs.map(told));
    const restarts = await leader.evaluate(() => fixture.incidents.map(({ type }) => type));
    assert.deepEqual(restarts, ["engineRestarted"]);

    // A follower's edit is stored before the leader hears of it, so that none of them is ever refused.
    ofFollowers.flat().forEach(({ id, outcome }) => assert.equal(outcome, "accepted", id));
    ofLeader.forEach(({ id, outcome, refused }) =>
      assert.ok(outcome === "accepted" || refused === "engine_restarted", `${id}: ${outcome ?? refused}`),
    );
    const confirmed = [...ofLeader, ...ofFollowers.flat()].filter(({ outcome }) => outcome);
    assert.equal(
      new Set(confirmed.map(({ seq }) => seq)).size,
      confirmed.length,
      "a sequence was given out twice",
    );
    await begin(followers[0], "after");
    const after = await told(followers[0]);
    after.forEach(({ id, outcome }) => assert.equal(outcome, "accepted", id));

    const ids = [...confirmed, ...after].map(({ id }) => id).sort();
    const wanted = JSON.stringify(ids);
    for (const tab of tabs) {
      await until("the tab shows everything", async () => {
        return JSON.stringify((await tab.evaluate(() => fixture.shown()))?.sort()) === wanted;
      });
    }
    const stored = database(host);
    stored.assertEachOnce();
    stored.assertInOrder();
    assert.equal(stored.held.clients.length, 1, "one client for all tabs");
    assert.deepEqual(
      stored
        .documents()
        .map(({ id }) => id)
        .sort(),
      ids,
    );
  });
}

test("a leader whose engine is given up leaves the lead to a follower, which loses nothing", async (t) => {
  const { host, leader, followers } = await setUp(t);
  await followers[0].evaluate(() => client.setNetwork(false));
  await until("the leader is offline", () => leader.evaluate(() => !client.status.network));
  const saved = await Promise.all(
    followers.map((tab, index) => tab.evaluate((id) => fixture.put(id), `kept-${index}`)),
  );
  for (let time = 1; time <= 6; time += 1) {
    await leader
      .evaluate(() => {
        ruin();
        client.wake();
      })
      .catch(() => {});
    await until(`incident ${time}`, () => leader.evaluate((time) => fixture.incidents.length === time, time));
  }
  const last = await leader.evaluate(() => fixture.incidents.at(-1).type);
  assert.equal(last, "engineFailed");
  await until("a follower leads", async () => {
    const roles = await Promise.all(followers.map((tab) => tab.evaluate(() => client.status.role)));
    return roles.includes("leader");
  });
  saved.push(await followers[1].evaluate(() => fixture.put("after")));
  await followers[1].evaluate(() => client.setNetwork(true));
  await until("all is on the server", () => followers[0].evaluate(() => client.status.pending === 0));
  const stored = database(host);
  stored.assertEachOnce();
  assert.deepEqual(
    stored
      .documents()
      .map(({ id }) => id)
      .sort(),
    saved.map(({ id }) => id).sort(),
  );
});
