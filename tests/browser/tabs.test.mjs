// Several tabs of one browser share one client: one of them leads, whichever it is, and nobody need notice.

import assert from "node:assert/strict";
import { test } from "node:test";

import { database } from "./harness/database.mjs";
import { assertOnServer, leaderOf, put, role, scene, shown, status, untilShown } from "./harness/tabs.mjs";
import { sleep, until } from "./harness/until.mjs";

for (const [order, pick] of Object.entries({
  "the leader first": (tabs, leader) => leader,
  "the leader last": (tabs, leader) => tabs.find((tab) => tab !== leader) ?? leader,
  "by chance": (tabs) => tabs[Math.floor(Math.random() * tabs.length)],
})) {
  test(`six tabs edit offline and close, ${order}: one connection, nothing lost, nothing doubled`, async (t) => {
    const { host, line, tab } = await scene(t);
    let tabs = [];
    for (let left = 6; left > 0; left -= 1) tabs.push(await tab());
    await until("there is a connection", async () => (await status(tabs[0])).link === "up");
    line.set("page only");
    await until("the last tab is offline", async () => (await status(tabs[5])).link === "down");
    const saved = [];
    const everywhere = async (round) => {
      const made = tabs.map((each, index) =>
        [`${round}-${index}-a`, `${round}-${index}-b`].map((id) => put(each, id)),
      );
      saved.push(...(await Promise.all(made.flat())));
    };
    await everywhere("first");
    await untilShown(
      tabs,
      saved.map(({ id }) => id),
    );
    while (tabs.length > 2) {
      const closing = pick(tabs, await leaderOf(tabs));
      tabs = tabs.filter((each) => each !== closing);
      await Promise.all([closing.close(), everywhere(`left-${tabs.length}`)]);
    }
    await untilShown(
      tabs,
      saved.map(({ id }) => id),
    );
    line.set("open");
    await until("all is on the server", async () => (await status(tabs[0])).pending === 0);
    await until("there is one connection", () => line.webSockets() === 1);
    await untilShown(
      tabs,
      saved.map(({ id }) => id),
    );
    assertOnServer(host, saved);
  });
}

test("what a tab saved in its last moment is adopted by those that stay", async (t) => {
  const { host, tab } = await scene(t);
  const [first, second] = [await tab(), await tab()];
  assert.equal(await role(second), "follower");
  await second.evaluate(() => fixture.putMany(200));
  await second.close();
  await until("all of the dead tab's edits are there", async () => (await shown(first)).length === 200);
  await until("all is on the server", async () => (await status(first)).pending === 0);
  const stored = database(host);
  stored.assertEachOnce();
  assert.equal(stored.documents().length, 200);
});

test("a leader that hangs is replaced within seconds, can write nothing more, and then follows", async (t) => {
  const { host, line, tab } = await scene(t);
  const tabs = [await tab(), await tab(), await tab()];
  const hung = await leaderOf(tabs);
  const others = tabs.filter((each) => each !== hung);
  const saved = [await put(hung, "before")];
  await untilShown(tabs, ["before"]);
  const started = Date.now();
  // What it submits on its way into the hang is either stored before it is fenced, or handed to the next leader.
  const hanging = hung.evaluate(() => fixture.hang(12_000, "hung"));
  saved.push(...(await Promise.all(others.map((each, index) => put(each, `meanwhile-${index}`)))));
  const taken = Date.now() - started;
  t.diagnostic(`edits were taken over ${taken} ms after the leader hung`);
  assert.ok(taken < 10_000, `${taken} ms`);
  await leaderOf(others);
  saved.push(await hanging);
  await until("the old leader follows", async () => (await role(hung)) === "follower");
  saved.push(await put(hung, "after"));
  await untilShown(
    tabs,
    saved.map(({ id }) => id),
  );
  await until("all is on the server", async () => (await status(tabs[0])).pending === 0);
  await until("there is one connection", () => line.webSockets() === 1);
  assertOnServer(host, saved);
});

test("a leader that is left for another page hands over, and follows when one comes back to it", async (t) => {
  const { host, line, tab } = await scene(t);
  const tabs = [await tab(), await tab()];
  const left = await leaderOf(tabs);
  const [other] = tabs.filter((each) => each !== left);
  const saved = [await put(left, "before")];
  // Browsers do not keep a page that has others wait for its transactions.
  await until("it has nothing to do", async () => (await status(left)).pending === 0);
  await left.evaluate(() => fixture.written("tabs"));
  await left.evaluate(() => (globalThis.kept = true));
  await left.goto(`${line.url}/page.js`);
  saved.push(await put(other, "meanwhile"));
  // Its edit was durable without a leader, too.
  await until("the other tab leads", async () => (await role(other)) === "leader");
  // Restored as it was, it does not load.
  await left.goBack({ waitUntil: "commit" });
  assert.equal(await left.evaluate(() => globalThis.kept), true, "the page was kept by the browser");
  await until("it follows", async () => (await role(left)) === "follower");
  saved.push(await put(left, "after"));
  await untilShown(
    tabs,
    saved.map(({ id }) => id),
  );
  await until("all is on the server", async () => (await status(other)).pending === 0);
  await until("there is one connection", () => line.webSockets() === 1);
  assertOnServer(host, saved);
});

test("a leader whose process dies is replaced at once", async (t) => {
  const { host, line, tab } = await scene(t);
  const tabs = [];
  for (let left = 8; left > 0; left -= 1) tabs.push(await tab());
  const dying = await leaderOf(tabs);
  const others = tabs.filter((each) => each !== dying);
  const saved = await Promise.all(tabs.map((each, index) => put(each, `before-${index}`)));
  await untilShown(
    tabs,
    saved.map(({ id }) => id),
  );
  const devtools = await dying.context().newCDPSession(dying);
  devtools.send("Page.crash").catch(() => {});
  await sleep(50);
  saved.push(...(await Promise.all(others.map((each, index) => put(each, `after-${index}`)))));
  await untilShown(
    others,
    saved.map(({ id }) => id),
  );
  await until("all is on the server", async () => (await status(others[0])).pending === 0);
  await until("there is one connection", () => line.webSockets() === 1);
  assertOnServer(host, saved);
});

test("the network switched off in one tab is off in all, and stays off under the next leader", async (t) => {
  const { line, tab } = await scene(t);
  const tabs = [await tab(), await tab(), await tab()];
  const leader = await leaderOf(tabs);
  const [one, two] = tabs.filter((each) => each !== leader);
  await one.evaluate(() => client.setNetwork(false));
  await until("the leader is offline", async () => (await status(leader)).network === false);
  await until("all connections are closed", () => line.webSockets() === 0);
  await leader.close();
  await leaderOf([one, two]);
  await put(two, "offline");
  assert.deepEqual([(await status(one)).network, (await status(two)).network], [false, false]);
  assert.equal(line.webSockets(), 0);
});
