import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

test("an edit that the server refuses is listed with its reason until it is dismissed", async (t) => {
  const host = await server(t);
  await pushFullCard(host);
  const ada = await board(await (await browser(t)).tab(), host.url(), "Ada");
  await ada.untilTitles("todo", ["Full"]);
  await ada.setNote("Full", "n".repeat(4000));
  const list = ada.tab.locator(":not(.feed) > .rejected");
  await list.getByRole("heading", { name: "The server refused 1 edit" }).waitFor();
  assert.match(await list.locator("summary").innerText(), /“Full”: .+/);
  await until("the refused text is gone", async () => (await ada.note("Full")) === "");
  // It can still be read and copied.
  await list.locator("summary").click();
  assert.equal(await list.locator("blockquote").innerText(), "n".repeat(4000));
  await ada.untilSaved("Everything is on the server");

  await ada.tab.reload();
  await list.getByRole("button", { name: "Dismiss this refused edit" }).click();
  await list.waitFor({ state: "hidden" });
  // What follows on the same card is not held up by it.
  await ada.setNote("Full", "short");
  await ada.untilSaved("Everything is on the server");
});

test("someone else on the same device leaves the edits that wait where they are", async (t) => {
  const host = await server(t);
  const tab = await (await browser(t)).tab();
  const ada = await board(tab, host.url(), "Ada");
  await ada.untilLink("Live");
  await ada.network(false);
  await ada.add("todo", "From Ada");
  await ada.untilSaved("1 edit saved on this device");
  await tab.getByRole("button", { name: "You are Ada" }).click();
  await tab.getByText("1 edit of Ada waits on this device").waitFor();
  const ben = await board(tab, undefined, "Ben");
  await ben.untilLink("Live");
  await ben.add("doing", "From Ben");
  await ben.untilSaved("Everything is on the server");
  assert.deepEqual(await ben.titles("todo"), []);
  await tab.getByRole("button", { name: "You are Ben" }).click();
  const again = await board(tab, undefined, "Ada");
  await again.untilTitles("todo", ["From Ada"]);
  await again.untilSaved("Everything is on the server");
  await again.untilTitles("doing", ["From Ben"]);
  const stored = database(host);
  stored.assertEachOnce();
  assert.equal(stored.judgements("Ada").length, 1);
  assert.equal(stored.judgements("Ben").length, 1);
});

test("the page fits a narrow phone, and everything on it has a name", async (t) => {
  const host = await server(t);
  const tab = await (await browser(t)).tab();
  await tab.setViewportSize({ width: 360, height: 740 });
  const trouble = [];
  tab.on("pageerror", (error) => trouble.push(error.message));
  tab.on("console", (message) => {
    if (message.type() === "error") trouble.push(message.text());
  });
  const ada = await board(tab, host.url(), "A name as long as the page lets people be");
  await ada.untilLink("Live");
  await ada.add("todo", "Averylongwordwithoutanyplacetobreakit".repeat(4), "Second");
  await ada.setNote("Second", "https://example.test/".padEnd(200, "x"));
  await ada.network(false);
  await ada.move("Second", "Doing");
  await ada.untilSaved("1 edit saved on this device");
  const width = await tab.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `the page is ${width} wide`);
  const nameless = await tab.evaluate(() =>
    [...document.querySelectorAll("button, input, textarea")]
      .filter((control) => control.checkVisibility())
      .filter((control) => !(control.getAttribute("aria-label") ?? control.textContent ?? "").trim())
      .map((control) => control.outerHTML),
  );
  assert.deepEqual(nameless, []);
  // Neither its policy nor anything else was in the way.
  assert.deepEqual(trouble, []);
});

/** A card so near to the limit of a document that a long note no longer fits. */
async function pushFullCard(host) {
  const fields = { title: "Full", note: "", column: "todo", order: 0, attachment: "x".repeat(128_000) };
  const response = await fetch(`${host.url()}/v1/push`, {
    method: "POST",
    headers: { authorization: `Bearer ${host.token("ben", 60)}`, "content-type": "application/json" },
    body: JSON.stringify({
      client: "0".repeat(31) + "1",
      collections: [{ collection: "cards", strategy: "fieldLevel" }],
      operations: [{ seq: 1, doc: ["cards", "full"], at: [Date.now(), 0], intents: [{ put: fields }] }],
    }),
  });
  const text = await response.text();
  assert.ok(response.ok && text.includes("accepted"), text);
}
