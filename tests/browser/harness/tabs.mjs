import assert from "node:assert/strict";

import { browser } from "./browser.mjs";
import { database } from "./database.mjs";
import { fixtureSite, fixtureTab } from "./fixture.mjs";
import { proxy } from "./proxy.mjs";
import { server } from "./server.mjs";
import { until } from "./until.mjs";

/** The name of the client that the tabs share. */
export const NAME = "tabs";

/** A server behind a proxy, and a browser whose tabs share one client; `options` are the browser's. */
export async function scene(t, options) {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const chromium = await browser(t, options);
  const mint = () => host.token("ada", 600);
  /** A tab with the client; `before` is done with its page before that is loaded. */
  const tab = async ({ before, resolved } = {}) => {
    const page = await chromium.tab();
    await before?.(page);
    return fixtureTab(page, line.url, { name: NAME, mint, resolved });
  };
  const tabs = async (count) => {
    const opened = [];
    while (opened.length < count) opened.push(await tab());
    return opened;
  };
  return { host, line, chromium, tab, tabs };
}

/** Loads the page of a tab again, with the client. */
export async function reload(tab) {
  await tab.reload();
  await tab.waitForFunction(() => globalThis.fixture !== undefined);
  await tab.evaluate((name) => fixture.open(name), NAME);
}

export const status = (tab) => tab.evaluate(() => client.status);
export const put = (tab, id) => tab.evaluate((id) => fixture.put(id), id);
export const shown = (tab) => tab.evaluate(() => fixture.shown());
export const role = async (tab) => (await status(tab)).role;

/** The tab that leads. */
export async function leaderOf(tabs) {
  return until("one of the tabs leads", async () => {
    const roles = await Promise.all(tabs.map(role));
    return roles.filter((each) => each === "leader").length === 1 && tabs[roles.indexOf("leader")];
  });
}

export async function untilShown(tabs, ids) {
  const wanted = JSON.stringify([...ids].sort());
  for (const tab of tabs) {
    await until("the tab shows everything", async () => JSON.stringify(await shown(tab)) === wanted);
  }
}

/** Saves an edit; right after a loss of the storage, or of room, it may be refused. */
export function untilSaved(tab, id) {
  return until("an edit is saved", async () => {
    const answer = await tab.evaluate((id) => fixture.put(id).catch(({ code }) => code), id);
    return answer.durable && answer;
  });
}

/** Every tab saves a document of its own. */
export function putEach(tabs, name) {
  return Promise.all(tabs.map((tab, index) => put(tab, `${name}-${index}`)));
}

export function untilSent(tab, patience) {
  return until("all is on the server", async () => (await status(tab)).pending === 0, patience);
}

/** Everything that resolved is on the server once, in one client's name, and nothing else is. */
export function assertOnServer(host, saved) {
  assertSaved(host, saved).assertHolds(saved.map(({ id }) => id));
}

/** Everything that resolved is on the server once, in one client's name. */
export function assertSaved(host, saved) {
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
  assert.equal(stored.held.clients.length, 1, "one client for all tabs");
  const judged = stored.judgements("ada").map(({ seq }) => seq);
  assert.equal(new Set(saved.map(({ seq }) => seq)).size, saved.length, "a sequence was given out twice");
  const lost = saved.filter(({ seq }) => !judged.includes(seq));
  assert.deepEqual(lost, [], "lost");
  return stored;
}
