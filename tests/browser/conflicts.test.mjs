import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

test("votes and labels given apart are all there, and nobody is asked", async (t) => {
  const { ada, ben } = await two(t);
  await ada.add("todo", "Buy milk");
  await ben.untilTitles("todo", ["Buy milk"]);
  await apart(ada, ben);
  for (let vote = 0; vote < 3; vote++) await ada.vote("Buy milk");
  await ada.addLabel("Buy milk", "urgent");
  await ada.addLabel("Buy milk", "shop");
  await ben.vote("Buy milk");
  await ben.addLabel("Buy milk", "urgent");
  await together(ada, ben);
  for (const each of [ada, ben]) {
    await until("every vote counts", async () => (await each.votes("Buy milk")) === 4);
    await until(
      "every label is there once",
      async () => (await each.labels("Buy milk")).sort().join() === "shop,urgent",
    );
  }
  await ben.removeLabel("Buy milk", "urgent");
  await until("Ada sees it go", async () => (await ada.labels("Buy milk")).join() === "shop");
});

test("a conflict shows both sides, survives a reload, and ends with mine", async (t) => {
  const { ada, ben } = await conflicting(t);
  assert.deepEqual((await ada.side("Before")).text, "The shop opens at nine.");
  const mine = await ada.side("Yours");
  assert.equal(mine.text, "The shop opens at eight.");
  assert.match(mine.who, /^Ada, .*\d/);
  const theirs = await ada.side("Theirs");
  assert.equal(theirs.text, "The shop opens at ten.");
  assert.match(theirs.who, /^Ben, .*\d/);
  await ada.untilSaved("1 edit saved on this device, waiting for you to decide");

  await ada.tab.reload();
  assert.deepEqual(await ada.side("Theirs"), theirs);
  assert.equal((await ada.side("Yours")).text, mine.text);
  // Nothing else waits for it.
  await ada.add("todo", "Buy milk");
  await ben.untilTitles("todo", ["Buy milk"]);
  assert.equal(await ben.notice(), "The shop opens at ten.");

  await ada.tab.getByRole("button", { name: "Keep mine" }).click();
  await settled(ada, ben, "The shop opens at eight.");
});

test("a conflict ends with theirs", async (t) => {
  const { ada, ben } = await conflicting(t);
  await ada.tab.getByRole("button", { name: "Keep theirs" }).click();
  await settled(ada, ben, "The shop opens at ten.");
});

test("a conflict ends with a merge of both, by the keyboard alone", async (t) => {
  const { ada, ben } = await conflicting(t);
  await ada.tab.reload();
  const merge = (await ada.conflict()).getByLabel("Or write what both shall become");
  await merge.focus();
  await ada.tab.keyboard.press("ControlOrMeta+A");
  await ada.tab.keyboard.type("Eight on weekdays, ten on Sundays.");
  await ada.tab.keyboard.press("Tab");
  await ada.tab.keyboard.press("Enter");
  await settled(ada, ben, "Eight on weekdays, ten on Sundays.");
});

test("a conflict about several fields is merged field by field", async (t) => {
  const { ada, ben, host } = await two(t);
  await ada.setNotice("The shop opens at nine.");
  await ben.untilNotice("The shop opens at nine.");
  await apart(ada);
  await push(host, { text: "The shop opens at ten.", place: "Upstairs" });
  await ben.untilNotice("The shop opens at ten.");
  // Another page of this client, of a version that knows where the shop is, has left an edit and is gone.
  await leave(ada, "notices", [{ set: { text: "The shop opens at eight.", place: "Downstairs" } }]);
  await ada.tab.reload();
  const conflict = await ada.conflict();
  assert.equal((await ada.side("Theirs")).text, "Upstairs\nThe shop opens at ten.");
  assert.equal(await conflict.getByLabel("place").inputValue(), "Downstairs\nUpstairs");
  await conflict.getByLabel("place").fill("Next door");
  await conflict.getByLabel("text").fill("Eight on weekdays, ten on Sundays.");
  await conflict.getByRole("button", { name: "Save the merged text" }).click();
  await settled(ada, ben, "Eight on weekdays, ten on Sundays.");
  const [notice] = database(host).documents();
  assert.equal(notice.values.place, "Next door");
});

test("on a narrow phone a conflict can be read and decided", async (t) => {
  const { ada } = await conflicting(t);
  await ada.tab.setViewportSize({ width: 360, height: 740 });
  const width = await ada.tab.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `the page is ${width} wide`);
  await ada.tab.getByRole("button", { name: "Keep theirs" }).click();
  await ada.untilNotice("The shop opens at ten.");
});

/** Ada has written the notice without the network while Ben wrote it, too, and has come back. */
async function conflicting(t) {
  const { ada, ben } = await two(t);
  await ada.setNotice("The shop opens at nine.");
  await ben.untilNotice("The shop opens at nine.");
  await apart(ada, ben);
  await ada.setNotice("The shop opens at eight.");
  await ben.setNotice("The shop opens at ten.");
  await ben.network(true);
  await ben.untilSaved("Everything is on the server");
  await ada.network(true);
  await ada.conflict();
  return { ada, ben };
}

/** Somebody else, who has read it, writes the notice with fields that the board does not show. */
async function push(host, fields) {
  const call = async (path, body) => {
    const response = await fetch(`${host.url()}/v1/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${host.token("carol", 60)}`, "content-type": "application/json" },
      body: JSON.stringify({
        client: "0".repeat(31) + "2",
        collections: [{ collection: "notices", strategy: "manual" }],
        ...body,
      }),
    });
    return response.json();
  };
  const { changes } = await call("pull", {});
  const base = { seen: changes[0].to };
  const operation = {
    seq: 1,
    doc: ["notices", "board"],
    at: [Date.now(), 0],
    intents: [{ set: fields }],
    base,
  };
  const { judgements } = await call("push", { operations: [operation] });
  assert.deepEqual(judgements[0].outcome, { accepted: {} });
}

/** Leaves a submission in the store, as a tab does in its last moment. */
function leave({ tab }, collection, intents) {
  const draft = { tab: "gone", ticket: 1, method: "submit" };
  const text = JSON.stringify({ ...draft, args: [collection, "board", 0, JSON.stringify(intents)] });
  return tab.evaluate(async (text) => {
    const found = (await indexedDB.databases()).find(({ name }) => name.endsWith(":outbox"));
    const database = await new Promise((opened, failed) => {
      const request = indexedDB.open(found.name);
      request.onsuccess = () => opened(request.result);
      request.onerror = failed;
    });
    const transaction = database.transaction("submissions", "readwrite");
    transaction.objectStore("submissions").put(text, `${String(Date.now()).padStart(14, "0")}-gone-1`);
    await new Promise((done) => (transaction.oncomplete = done));
    database.close();
  }, text);
}

async function settled(ada, ben, notice) {
  for (const each of [ada, ben]) {
    await each.untilNotice(notice);
    await each.untilSaved("Everything is on the server");
  }
  await ada.tab.locator(".conflicts").waitFor({ state: "hidden" });
  // The line goes on.
  await ada.setNotice("Closed on Monday.");
  await ben.untilNotice("Closed on Monday.");
}

async function apart(...boards) {
  for (const each of boards) {
    await each.network(false);
    await each.untilLink("Offline");
  }
}

async function together(...boards) {
  for (const each of boards) await each.network(true);
  for (const each of boards) await each.untilSaved("Everything is on the server");
}

/** Ada and Ben on one board, in two browsers. */
async function two(t) {
  const host = await server(t);
  const [ada, ben] = await Promise.all(
    ["Ada", "Ben"].map(async (name) => board(await (await browser(t)).tab(), host.url(), name)),
  );
  await Promise.all([ada.untilLink("Live"), ben.untilLink("Live")]);
  return { ada, ben, host };
}
