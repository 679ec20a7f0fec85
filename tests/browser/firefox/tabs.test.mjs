// Several tabs of Firefox share one client, against the real server.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fixtureSite } from "../harness/fixture.mjs";
import { proxy } from "../harness/proxy.mjs";
import { server } from "../harness/server.mjs";
import {
  assertOnServer,
  leaderOf,
  putEach,
  role,
  status,
  untilSaved,
  untilSent,
  untilShown,
} from "../harness/tabs.mjs";
import { until } from "../harness/until.mjs";
import { firefox, openClient } from "./harness.mjs";

/** A server behind a proxy, and Firefox with so many tabs that share a client and are offline. */
async function setUp(t, count) {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const browser = await firefox(t);
  const open = async () => {
    const tab = await browser.tab();
    await openClient(tab, host, line.url, "tabs");
    return tab;
  };
  const tabs = [];
  while (tabs.length < count) tabs.push(await open());
  await until("there is a connection", async () => (await status(tabs[0])).link === "up");
  line.set("page only");
  await until("the last tab is offline", async () => (await status(tabs.at(-1))).link === "down");
  return { host, line, browser, open, tabs };
}

const idsOf = (saved) => saved.map(({ id }) => id);

test("eight tabs edit offline, the leader closes, and a kill of the browser loses nothing and doubles nothing", async (t) => {
  const { host, line, browser, open, tabs } = await setUp(t, 8);
  const saved = await putEach(tabs, "first");
  await untilShown(tabs, idsOf(saved));
  const leader = await leaderOf(tabs);
  const others = tabs.filter((tab) => tab !== leader);
  const [meanwhile] = await Promise.all([putEach(others, "second"), leader.close()]);
  saved.push(...meanwhile);
  await leaderOf(others);
  await untilShown(others, idsOf(saved));
  await browser.kill();
  await browser.start();
  const again = [await open(), await open()];
  await untilShown(again, idsOf(saved));
  line.set("open");
  await untilSent(again[0], 120_000);
  await until("there is one connection", () => line.webSockets() === 1);
  assertOnServer(host, saved);
});

test("databases that are deleted under several tabs are told of to each, and what was saved is saved again", async (t) => {
  const { host, line, tabs } = await setUp(t, 4);
  const saved = await putEach(tabs, "before");
  await untilShown(tabs, idsOf(saved));
  const follower = tabs.find((tab) => tab !== tabs[0]);
  await follower.evaluate(async () => {
    for (const name of ["webwaka:tabs:outbox", "webwaka:tabs:replica"])
      await new Promise((done, failed) => {
        const request = indexedDB.deleteDatabase(name);
        request.onsuccess = done;
        request.onerror = failed;
      });
  });
  for (const tab of tabs) {
    await until("the loss is told", () =>
      tab.evaluate(() => globalThis.fixture.incidents.some(({ type }) => type === "storageLost")),
    );
  }
  for (const [index, tab] of tabs.entries()) saved.push(await untilSaved(tab, `after-${index}`));
  const leader = await leaderOf(tabs);
  await leader.close();
  const others = tabs.filter((tab) => tab !== leader);
  assert.equal(await role(await leaderOf(others)), "leader");
  await untilShown(others, idsOf(saved));
  line.set("open");
  await untilSent(others[0]);
  assertOnServer(host, saved);
});
