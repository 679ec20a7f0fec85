import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { sleep, until } from "./harness/until.mjs";

// Each way to lose the network, and how it comes back. What a person then sees must be the same.
const WAYS = {
  "the switch in the page": {
    lose: ({ ada }) => ada.network(false),
    regain: ({ ada }) => ada.network(true),
    // Nothing is tried meanwhile. Elsewhere an edit that was on its way once stays as it is, and takes no other in.
    most: 3,
  },
  "connections that are cut and refused": {
    lose: ({ line }) => line.set("refused"),
    regain: ({ line }) => line.set("open"),
  },
  "a line that swallows everything": {
    lose: ({ line }) => line.set("blackhole"),
    regain: ({ line }) => line.set("open"),
    // Nothing tells the browser: the heartbeat has to miss its answer first.
    patience: 120_000,
  },
  "a server that stops": {
    lose: ({ host }) => host.stop(),
    regain: ({ host }) => host.start(),
  },
  "a server that is killed": {
    lose: ({ host }) => host.kill(),
    regain: ({ host }) => host.start(),
  },
};

for (const [way, { lose, regain, patience, most = 5 }] of Object.entries(WAYS)) {
  test(`edits go on offline and arrive once and in order: ${way}`, async (t) => {
    const scene = await onTheLine(t);
    const { ada, host } = scene;
    await ada.add("todo", "Before");
    await ada.untilSaved("Everything is on the server");

    await lose(scene);
    await ada.untilLink("Offline", patience);
    await ada.add("todo", "One", "Two");
    await ada.setNote("One", "first");
    await ada.setTitle("Before", "Before, renamed");
    await ada.move("Two", "Doing");
    // What was not sent yet of one card is one edit.
    await ada.untilSaved("edits saved on this device, waiting to be sent");
    await until("three cards are marked", async () => (await ada.pendingCards()) === 3);
    const waiting = await ada.badge();
    assert.ok(waiting >= 3 && waiting <= most, `${waiting} edits wait`);

    await regain(scene);
    await ada.untilSaved("Everything is on the server", patience);
    await until("no card is marked", async () => (await ada.pendingCards()) === 0);
    assert.equal(await ada.badge(), 0);
    const stored = database(host);
    stored.assertEachOnce();
    stored.assertInOrder();
    const judged = stored.judgements().length;
    assert.ok(judged >= 4 && judged <= 1 + most, `${judged} edits arrived`);
    assert.equal(stored.titled("One").values.note, "first");
    assert.equal(stored.titled("Two").values.column, "doing");
    stored.titled("Before, renamed");

    // And the other way round: it is live again, not only drained.
    const ben = await board(await (await browser(t)).tab(), host.url(), "Ben");
    await ben.add("done", "From Ben");
    await ada.untilTitles("done", ["From Ben"]);
  });
}

test("cut again and again in the middle, every edit still arrives once and in order", async (t) => {
  const { ada, host, line } = await onTheLine(t);
  const titles = Array.from({ length: 20 }, (_, index) => `Card ${index}`);
  let cutting = true;
  const cuts = (async () => {
    for (; cutting; await sleep(40 + 160 * Math.random())) line.cut();
  })();
  await ada.add("todo", ...titles);
  cutting = false;
  await cuts;
  await ada.untilSaved("Everything is on the server", 60_000);
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
  assert.deepEqual(
    stored.documents().map(({ values }) => values.title),
    titles,
  );
});

test("a reload loses no pending edit", async (t) => {
  const { ada, host, line } = await onTheLine(t);
  await ada.add("todo", "Before");
  await ada.untilSaved("Everything is on the server");
  line.set("page only");
  await ada.untilLink("Offline");
  await ada.add("todo", "One", "Two");
  await ada.setNote("Before", "changed offline");
  await ada.untilSaved("3 edits saved on this device");
  await ada.tab.reload();
  await ada.untilTitles("todo", ["Before", "One", "Two"]);
  await ada.untilSaved("3 edits saved on this device");
  assert.equal(await ada.note("Before"), "changed offline");
  line.set("open");
  await arrived(ada, host);
});

test("a browser killed while offline loses no pending edit", async (t) => {
  const { ada, host, line, chromium } = await onTheLine(t);
  await ada.add("todo", "Before");
  await ada.untilSaved("Everything is on the server");
  line.set("page only");
  await ada.untilLink("Offline");
  await ada.add("todo", "One", "Two");
  await ada.setNote("Before", "changed offline");
  await ada.untilSaved("3 edits saved on this device");
  await chromium.kill();
  await chromium.start();
  const again = await board(await chromium.tab(), line.url, "Ada");
  await again.untilTitles("todo", ["Before", "One", "Two"]);
  await again.untilSaved("3 edits saved on this device");
  line.set("open");
  await arrived(again, host);
});

test("the page itself opens without a network, with all that is pending", async (t) => {
  const { ada, host, line, chromium } = await onTheLine(t);
  await ada.add("todo", "Before");
  await ada.untilSaved("Everything is on the server");
  await until("the page is kept for offline use", () =>
    ada.tab.evaluate(() => navigator.serviceWorker.ready.then(({ active }) => active?.state === "activated")),
  );
  line.set("refused");
  await ada.untilLink("Offline");
  await ada.add("todo", "One", "Two");
  await ada.setNote("Before", "changed offline");
  await ada.untilSaved("3 edits saved on this device");
  await chromium.kill();
  await chromium.start();
  const again = await board(await chromium.tab(), line.url, "Ada");
  await again.untilTitles("todo", ["Before", "One", "Two"]);
  await again.untilSaved("3 edits saved on this device");
  line.set("open");
  await arrived(again, host);
});

async function arrived(ada, host) {
  await ada.untilSaved("Everything is on the server", 60_000);
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
  assert.equal(stored.judgements().length, 4);
  assert.equal(stored.titled("Before").values.note, "changed offline");
}

/** Ada's browser, with a line to the server that can be cut. */
async function onTheLine(t) {
  const host = await server(t);
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const ada = await board(await chromium.tab(), line.url, "Ada");
  await ada.untilLink("Live");
  return { host, line, chromium, ada };
}
