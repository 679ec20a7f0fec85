import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

test("an edit in one browser shows in the other", async (t) => {
  const { ada, ben } = await two(t);
  await ada.add("todo", "Buy milk");
  await ben.untilTitles("todo", ["Buy milk"]);
  await ben.setNote("Buy milk", "Two litres");
  await until("Ada sees the note", async () => (await ada.note("Buy milk")) === "Two litres");
  await ben.move("Buy milk", "Doing");
  await ada.untilTitles("doing", ["Buy milk"]);
  await ada.untilTitles("todo", []);
  await ada.remove("Buy milk");
  await ben.untilTitles("doing", []);
});

test("edits of different fields made apart both survive", async (t) => {
  const { ada, ben, host } = await two(t);
  await ada.add("todo", "Buy milk");
  await ben.untilTitles("todo", ["Buy milk"]);
  await ada.network(false);
  await ada.untilLink("Offline");
  await ada.setTitle("Buy milk", "Buy oat milk");
  await ben.setNote("Buy milk", "Two litres");
  await ben.untilSaved("Everything is on the server");
  await ada.network(true);
  await ben.untilTitles("todo", ["Buy oat milk"]);
  await until("Ada sees the note", async () => (await ada.note("Buy oat milk")) === "Two litres");
  await ada.untilSaved("Everything is on the server");
  assert.deepEqual(database(host).titled("Buy oat milk").values.note, "Two litres");
});

test("of edits of the same field made apart the later stays, and the other person is told", async (t) => {
  const { ada, ben } = await two(t);
  await ada.add("todo", "Buy milk");
  await ben.untilTitles("todo", ["Buy milk"]);
  await ada.network(false);
  await ada.untilLink("Offline");
  await ada.setTitle("Buy milk", "Buy oat milk");
  await ben.setTitle("Buy milk", "Buy soy milk");
  await ben.untilSaved("Everything is on the server");
  await ada.network(true);
  await ada.untilTitles("todo", ["Buy soy milk"]);
  const told = ada.tab.locator(".toast", { hasText: "Someone else changed the title" });
  await told.waitFor();
  await told.getByRole("button", { name: "Use mine" }).click();
  await ben.untilTitles("todo", ["Buy oat milk"]);
});

test("a deleted card comes back with undo, for everyone", async (t) => {
  const { ada, ben } = await two(t);
  await ada.add("todo", "Buy milk");
  await ben.untilTitles("todo", ["Buy milk"]);
  await ada.remove("Buy milk");
  await ben.untilTitles("todo", []);
  await ada.tab.getByRole("button", { name: "Undo" }).click();
  await ben.untilTitles("todo", ["Buy milk"]);
});

test("a second tab shows the same board, and goes on when the first is closed", async (t) => {
  const host = await server(t);
  const chromium = await browser(t);
  const first = await board(await chromium.tab(), host.url(), "Ada");
  await first.add("todo", "Buy milk");
  const second = await board(await chromium.tab(), host.url(), "Ada");
  await second.untilTitles("todo", ["Buy milk"]);
  await second.add("todo", "Buy bread");
  await first.untilTitles("todo", ["Buy milk", "Buy bread"]);
  await first.tab.close();
  await second.add("todo", "Buy jam");
  await second.untilSaved("Everything is on the server");
  const stored = database(host);
  stored.assertEachOnce();
  assert.equal(stored.documents().length, 3);
});

/** Ada and Ben on one board, in two browsers. */
async function two(t) {
  const host = await server(t);
  const [ada, ben] = await Promise.all(
    ["Ada", "Ben"].map(async (name) => board(await (await browser(t)).tab(), host.url(), name)),
  );
  await Promise.all([ada.untilLink("Live"), ben.untilLink("Live")]);
  return { host, ada, ben };
}
