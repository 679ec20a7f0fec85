// Topics where no WebSocket gets through: what comes, in which way, and how the way back up is found.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { freeze } from "./harness/lifecycle.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { heard, topic as topicOf } from "./harness/topic.mjs";
import { until } from "./harness/until.mjs";

const STREAM = /live=sse/;
const LONG_POLL = /live=long-poll/;
/** A better way is tried again a minute after it failed. */
const CLIMB = 90_000;

/** Tabs of one client behind a proxy, and the topic that they read. */
async function scene(t, { state = "no websocket", tabs: count = 1, ...options } = {}) {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  line.set(state);
  const topic = await topicOf(host);
  const chromium = await browser(t, options);
  const tabs = [];
  for (let n = 0; n < count; n += 1) {
    const mint = () => host.token("ada", 600);
    tabs.push(await fixtureTab(await chromium.tab(), line.url, { name: "ladder", mint }));
  }
  const waits = (how) => line.asked().filter((asked) => how.test(asked)).length;
  return { host, line, topic, tabs, tab: tabs[0], waits };
}

const read = (tab) => tab.evaluate(() => fixture.read("orders/eu", { from: "earliest" }));

const link = (tab, state, patience) =>
  until(
    `the link is ${state}`,
    () => tab.evaluate(() => client.status.link).then((is) => is === state),
    patience,
  );

/** The numbers up to that one come, each once and in order. */
async function comes(tab, count) {
  await until("they come", async () => (await heard(tab)).length >= count);
  assert.deepEqual(
    await heard(tab),
    Array.from({ length: count }, (_, n) => n),
  );
}

test("where no WebSocket gets through one answer goes on, a login page moves nothing, and it climbs back", async (t) => {
  const { line, topic, tab, waits } = await scene(t);
  await read(tab);
  await topic.publish(0, 1, 2);
  await comes(tab, 3);
  await link(tab, "degraded");
  await until("it waits for more", () => waits(STREAM) === 1);
  const asked = line.asked().find((each) => STREAM.test(each));
  for (let n = 3; n < 8; n += 1) {
    await topic.publish(n);
    await comes(tab, n + 1);
  }
  assert.ok(line.asked().includes(asked), "all of them are of one answer");

  line.set("login page");
  await topic.publish(8, 9);
  await link(tab, "down");
  line.set("no websocket");
  await tab.evaluate(() => client.wake());
  await comes(tab, 10);
  await link(tab, "degraded");

  line.set("open");
  await link(tab, "up", CLIMB);
  await until("nothing waits beside the WebSocket", () => waits(STREAM) + waits(LONG_POLL) === 0);
  await topic.publish(10, 11);
  await comes(tab, 12);
});

test("where a proxy collects an answer before it passes it on, requests wait instead, and the answer is given up", async (t) => {
  const { line, topic, tab, waits } = await scene(t, { state: "buffers" });
  await topic.publish(0, 1);
  await read(tab);
  await comes(tab, 2);
  await until("it waits in another way", () => waits(LONG_POLL) === 1);
  assert.ok([...line.heard].some((asked) => STREAM.test(asked)));
  await until("nothing else waits", () => waits(STREAM) === 0);
  await topic.publish(2);
  await comes(tab, 3);
  await link(tab, "degraded");

  line.set("no websocket");
  await until("the better way is tried again", () => waits(STREAM) === 1, CLIMB);
  await topic.publish(3);
  await comes(tab, 4);
  line.set("open");
  await tab.evaluate(() => client.wake());
  await link(tab, "up");
  await topic.publish(4);
  await comes(tab, 5);
});

test("an answer that is cut within characters says what it is to say", async (t) => {
  const { topic, tab, waits } = await scene(t, { state: "tears" });
  await read(tab);
  await topic.publish("first");
  await until("it waits for more", () => waits(STREAM) === 1);
  const said = ["first", "né", "žluťoučký", "🛵 à", "end"];
  for (let n = 1; n < said.length; n += 1) {
    await topic.publish(said[n]);
    // What was held back of the one before comes with it.
    await until("that one comes", async () => (await heard(tab)).length >= n);
  }
  await until("the last comes", async () => (await heard(tab)).length === said.length);
  assert.deepEqual(await heard(tab), said);
  assert.equal(waits(STREAM), 1);
});

test("what waits for several tabs and readers leaves connections for edits, and is ended with its reader", async (t) => {
  // Nothing that would show a page that an answer goes on gets through.
  const { line, tabs, waits } = await scene(t, { state: "buffers", tabs: 2 });
  for (const tab of tabs) {
    await tab.evaluate(() => {
      globalThis.readers = [1, 2, 3, 4].map(() => {
        const reader = client.topic("orders/eu").subscribe()[Symbol.asyncIterator]();
        void reader.next();
        return reader;
      });
    });
  }
  await until("they wait", () => waits(STREAM) === 2);
  for (const tab of tabs) {
    await tab.evaluate(async () => (await client.collection("cards").put(crypto.randomUUID(), {})).outcome());
    assert.ok(waits(/live=/) <= 2, `${line.asked()}`);
    await tab.evaluate(() => readers.forEach((reader) => void reader.return()));
  }
  await until("nothing waits", () => waits(/live=/) === 0);
});

test("a page that was frozen goes on where it was", async (t) => {
  const { topic, tab, waits } = await scene(t, { background: true });
  await read(tab);
  await topic.publish(0, 1);
  await comes(tab, 2);
  await until("it waits for more", () => waits(STREAM) === 1);
  const goOn = await freeze(tab);
  await topic.publish(2, 3);
  await goOn();
  await topic.publish(4);
  await comes(tab, 5);
});
