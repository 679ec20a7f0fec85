// What a browser does to tabs that nobody looks at: it freezes them, and discards them when memory is short.

import assert from "node:assert/strict";
import { test } from "node:test";

import { discard, freeze, loadDiscarded } from "./harness/lifecycle.mjs";
import {
  NAME,
  assertOnServer,
  assertSaved,
  leaderOf,
  put,
  putEach,
  role,
  scene,
  untilSent,
  untilShown,
} from "./harness/tabs.mjs";
import { until } from "./harness/until.mjs";

const idsOf = (saved) => saved.map(({ id }) => id);

test("a leader that is frozen is replaced at once, and what it did in its last moment is there once when it goes on", async (t) => {
  const { host, line, chromium, tab } = await scene(t, { background: true });
  const tabs = [];
  while (tabs.length < 3) tabs.push(await tab({ before: (page) => page.addInitScript(editsWhenFrozen) }));
  const saved = [];
  for (let round = 0; round < 4; round += 1) {
    const leader = await leaderOf(tabs);
    const others = tabs.filter((each) => each !== leader);
    saved.push(...(await putEach(tabs, `before-${round}`)));
    await others[0].bringToFront();
    await leader.evaluate((round) => (globalThis.round = round), round);
    const thaw = await freeze(leader);
    const next = await leaderOf(others);
    const heard = await leader.evaluate(() => ({ frozen, ticks, answered }));
    assert.ok(heard.frozen > 0, "it heard of that");
    saved.push(...(await putEach(others, `meanwhile-${round}`)));
    await untilSent(next);
    // Nothing of it has run all the while: no timer, and no answer has come.
    assert.deepEqual(await leader.evaluate(() => ({ frozen, ticks, answered })), heard);
    await thaw();
    saved.push(...(await leader.evaluate(() => Promise.all(edits))));
    await until("the old leader follows", async () => (await role(leader)) === "follower");
  }
  saved.push(...(await putEach(tabs, "after")));
  await untilShown(tabs, idsOf(saved));
  await untilSent(tabs[0]);
  await until("there is one connection", () => line.webSockets() === 1);
  assert.ok(saved.every(({ durable }) => durable));
  assertOnServer(host, saved);
});

test("a leader that is discarded in mid-work is replaced, and has all that was saved when it is loaded again", async (t) => {
  const { host, line, chromium } = await scene(t, { background: true });
  const token = host.token("ada", 600);
  const opened = [];
  while (opened.length < 3) {
    const page = await chromium.tab();
    await page.goto(line.url);
    opened.push(await client(page, token));
  }
  const leader = await leaderOf(opened);
  line.set("page only");
  await leader.evaluate(() => void fixture.submitApart("work"));
  await until("it has saved something", () =>
    leader.evaluate(() => Object.keys(localStorage).some((key) => key.startsWith("saved:"))),
  );
  await discard(chromium, leader);
  const others = () => chromium.tabs().filter((page) => page.url().startsWith(line.url) && page !== again);
  let again;
  assert.equal(others().length, 2);
  await leaderOf(others());
  const saved = await putEach(others(), "meanwhile");
  again = await client(await loadDiscarded(chromium), token);
  const noted = await again.evaluate(() =>
    Object.keys(localStorage)
      .filter((key) => key.startsWith("saved:"))
      .map((key) => JSON.parse(localStorage[key])),
  );
  saved.push(...noted, await put(again, "after"));
  assert.ok(saved.every(({ durable }) => durable));
  line.set("open");
  await untilSent(again, 120_000);
  // What was being saved as the page went may be there as well.
  const stored = assertSaved(host, saved);
  const everything = stored.documents().map(({ id }) => id);
  assert.deepEqual(everything.filter((id) => !id.startsWith("work-")).sort(), [
    "after",
    "meanwhile-0",
    "meanwhile-1",
  ]);
  await untilShown([again, ...others()], everything);
  await until("there is one connection", () => line.webSockets() === 1);
  t.diagnostic(`saved=${saved.length} on_server=${everything.length} lost=0 doubled=0`);
});

/** Opens the client in a page, with all that it needs in the page itself: it goes on when no test watches. */
async function client(page, token) {
  await page.evaluate(
    ([name, token]) => {
      globalThis.mint = () => token;
      globalThis.resolved = (operation) =>
        (localStorage[`saved:${operation.id}`] = JSON.stringify(operation));
      return fixture.open(name);
    },
    [NAME, token],
  );
  return page;
}

/** To be run in a page before anything else: it edits as it is frozen, before the client hears of that and after. */
function editsWhenFrozen() {
  Object.assign(globalThis, { frozen: 0, ticks: 0, answered: 0 });
  setInterval(() => (ticks += 1), 10);
  const edit = (when) => {
    const submitted = fixture.put(`${when}-${round}`);
    submitted.then(() => (answered += 1));
    return submitted;
  };
  addEventListener("freeze", () => (globalThis.edits = [edit("first")]), { capture: true });
  document.addEventListener("freeze", () => {
    edits.push(edit("last"));
    frozen += 1;
  });
}
