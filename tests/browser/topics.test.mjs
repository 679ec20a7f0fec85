import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { heard, topic as topicOf } from "./harness/topic.mjs";
import { until } from "./harness/until.mjs";

test("a page reads a topic over a cut line and in every tab, each event once", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const topic = await topicOf(host);
  await topic.publish(0, 1);
  const chromium = await browser(t);
  const tabs = [];
  for (let count = 0; count < 2; count += 1) {
    const mint = () => host.token("ada", 600);
    const tab = await fixtureTab(await chromium.tab(), line.url, { name: "feed", mint });
    await tab.evaluate(() => fixture.read("orders/eu", { from: "earliest" }));
    tabs.push(tab);
  }
  for (const tab of tabs) await until("what is there comes", async () => (await heard(tab)).length === 2);
  line.set("refused");
  await topic.publish(2, 3);
  line.set("open");
  await tabs[0].evaluate(() => client.wake());
  for (const tab of tabs) await until("what was missed comes", async () => (await heard(tab)).length === 4);
  // The first tab leads; the other takes over, and goes on where it is.
  await tabs[0].close();
  await topic.publish(4, 5);
  await until("the other tab goes on", async () => (await heard(tabs[1])).length >= 6);
  assert.deepEqual(await heard(tabs[1]), [0, 1, 2, 3, 4, 5]);
});

test("a durable reader goes on after a reload, and a missing topic is an error", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const topic = await topicOf(host);
  await topic.publish(0, 1, 2);
  const options = { name: "durable", mint: () => host.token("ada", 600) };
  const tab = await fixtureTab(await (await browser(t)).tab(), host.url(), options);
  await tab.evaluate(() => fixture.read("orders/eu", { from: "earliest", durable: "feed" }));
  await until("all events come", async () => (await heard(tab)).length === 3);
  // Whatever was asked of the storage before is in it when this is.
  await tab.evaluate(() => fixture.put("a"));
  await tab.reload();
  await tab.waitForFunction(() => globalThis.fixture !== undefined);
  await tab.evaluate(() => fixture.open("durable"));
  await topic.publish(3);
  await tab.evaluate(() => fixture.read("orders/eu", { from: "earliest", durable: "feed" }));
  await until("it goes on", async () => (await heard(tab)).length > 0);
  assert.deepEqual(await heard(tab), [3]);
  const code = await tab.evaluate(async () => {
    try {
      for await (const _ of client.topic("nothing").subscribe());
      return "it ended";
    } catch (error) {
      return error.code;
    }
  });
  assert.equal(code, "no_such_topic");
});

test("a page that was away for too long is told in its place how much it missed", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const topic = await topicOf(host, { "stream-retention": "events=10" });
  await topic.publish(0, 1);
  const options = { name: "away", mint: () => host.token("ada", 600) };
  const tab = await fixtureTab(await (await browser(t)).tab(), line.url, options);
  await tab.evaluate(() => fixture.read("orders/eu", { from: "earliest" }));
  await until("what is there comes", async () => (await heard(tab)).length === 2);
  line.set("refused");
  for (let n = 2; n < 102; n += 10) await topic.publish(...Array.from({ length: 10 }, (_, more) => n + more));
  line.set("open");
  await tab.evaluate(() => client.wake());
  await until("the newest comes", async () => (await heard(tab)).at(-1) === 101);
  const [first, second, { missed }, ...rest] = await heard(tab);
  assert.deepEqual([first, second], [0, 1]);
  assert.ok(missed > 0);
  assert.deepEqual(
    rest,
    Array.from({ length: 100 - missed }, (_, more) => 2 + missed + more),
  );
});

test("a page hears each event once while the server is killed again and again", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const topic = await topicOf(host);
  const options = { name: "killed", mint: () => host.token("ada", 600) };
  const tab = await fixtureTab(await (await browser(t)).tab(), host.url(), options);
  await tab.evaluate(() => fixture.read("orders/eu", { from: "earliest" }));
  for (let n = 0; n < 5; n += 1) {
    await topic.publish(2 * n, 2 * n + 1);
    await host.kill();
    await host.start();
  }
  await until("all of it comes", async () => {
    await tab.evaluate(() => client.wake());
    return (await heard(tab)).length >= 10;
  });
  assert.deepEqual(await heard(tab), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
