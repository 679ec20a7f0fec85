import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const said = ({ tab }) => tab.locator(".feed-list p").allInnerTexts();

async function say({ tab }, text) {
  const box = tab.getByLabel("Say something to everyone");
  await box.fill(text);
  await box.press("Enter");
}

async function untilSaid(person, ...texts) {
  await until(`they read ${texts}`, async () => (await said(person)).join() === texts.join());
}

test("what is said on the board reaches everyone, newest first, also where no WebSocket gets through and after a reload", async (t) => {
  const host = await server(t);
  const line = await proxy(t, host.port);
  line.set("no websocket");
  const chromium = await browser(t);
  const ada = await board(await chromium.tab(), host.url(), "Ada");
  const ben = await board(await chromium.tab(), line.url, "Ben");
  await ada.untilLink("Live");
  await say(ada, "Lunch at one");
  await untilSaid(ada, "Lunch at one");
  await untilSaid(ben, "Lunch at one");
  await say(ben, "Two, please");
  for (const person of [ada, ben]) await untilSaid(person, "Two, please", "Lunch at one");
  await ben.tab.reload();
  await untilSaid(await board(ben.tab, undefined, "Ben"), "Two, please", "Lunch at one");
});

test("what is said without the network waits on the device, and everyone reads it once when it comes", async (t) => {
  const host = await server(t);
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const ada = await board(await chromium.tab(), host.url(), "Ada");
  const ben = await board(await chromium.tab(), line.url, "Ben");
  await ben.untilLink("Live");
  await say(ada, "First");
  await untilSaid(ben, "First");
  line.set("refused");
  await say(ben, "Anybody?");
  await ben.untilSaved("1 edit saved on this device");
  await until(
    "what was said is not there to be said again",
    async () => (await ben.tab.getByLabel("Say something to everyone").inputValue()) === "",
  );
  await say(ada, "Second");
  await untilSaid(ada, "Second", "First");
  line.set("open");
  await ben.tab.evaluate(() => dispatchEvent(new Event("online")));
  for (const person of [ada, ben]) await untilSaid(person, "Anybody?", "Second", "First");
  await ben.untilSaved("Everything is on the server");
});

test("what the server refuses is shown where it was said, and is said again or discarded", async (t) => {
  const host = await server(t);
  const chromium = await browser(t);
  const ada = await board(await chromium.tab(), host.url(), "Ada");
  await ada.untilLink("Live");
  await say(ada, "First");
  await untilSaid(ada, "First");
  const topic = async (method, headers) => {
    const authorization = `Bearer ${host.token()}`;
    const response = await fetch(`${host.url()}/v1/streams/board/feed`, {
      method,
      headers: { authorization, ...headers },
    });
    assert.ok(response.ok, `${method}: ${response.status}`);
  };
  await topic("POST", { "stream-closed": "true" });
  const refused = ada.tab.locator(".feed .rejected li");
  const summaries = () => refused.locator("summary").allInnerTexts();
  await say(ada, "Too late");
  await until("it is refused", async () => (await summaries()).join().includes("closed"));
  await say(ada, "Behind it");
  await refused.locator("summary").click();
  assert.equal(await refused.locator("blockquote").innerText(), "Too late");
  await refused.getByRole("button", { name: "Try again to say this" }).click();
  await until("it is refused again", async () => (await summaries()).join().includes("tried 2 times"));
  // What was behind it has its turn, and is refused as well.
  await refused.getByRole("button", { name: "Discard what was refused" }).click();
  await refused.locator("summary").click();
  await until(
    "the next is shown",
    async () => (await refused.locator("blockquote").innerText()) === "Behind it",
  );
  await topic("DELETE", {});
  await refused.getByRole("button", { name: "Try again to say this" }).click();
  const ben = await board(await chromium.tab(), host.url(), "Ben");
  await untilSaid(ben, "Behind it");
  await until("nothing is refused any more", async () => (await refused.count()) === 0);
  await ada.untilSaved("Everything is on the server");
});
