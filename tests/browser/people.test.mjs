import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const words = ({ tab }) => tab.locator(".people-words").innerText();
const untilWords = (person, text) => until(text, async () => (await words(person)) === text);

test("people on the board see each other come, move and write, and go when their line is cut", async (t) => {
  const host = await server(t);
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const ada = await board(await chromium.tab(), host.url(), "Ada");
  await ada.untilLink("Live");
  await untilWords(ada, "Nobody else is here");
  const ben = await board(await chromium.tab(), line.url, "Ben");
  await untilWords(ada, "Here: Ben");
  await untilWords(ben, "Here: Ada");

  const { x, y, width, height } = await ben.tab.locator("main.board").boundingBox();
  await ben.tab.mouse.move(x + width / 4, y + height / 2);
  await until("the pointer is seen", async () => (await ada.tab.locator(".pointer").count()) === 1);
  const before = await ada.tab.locator(".pointer").boundingBox();
  await ben.tab.mouse.move(x + width / 2, y + height / 2, { steps: 30 });
  await until(
    "it moves",
    async () => (await ada.tab.locator(".pointer").boundingBox())?.x > before.x + width / 8,
  );

  await ben.tab.getByLabel("Say something to everyone").pressSequentially("Hi");
  await untilWords(ada, "Here: Ben (writing)");
  await untilWords(ada, "Here: Ben");

  line.set("refused");
  await untilWords(ada, "Nobody else is here");
  assert.equal(await ada.tab.locator(".pointer").count(), 0);
  await untilWords(ben, "");
  line.set("open");
  await ben.tab.evaluate(() => dispatchEvent(new Event("online")));
  await untilWords(ada, "Here: Ben");
});

test("every tab of a person is in the room by one connection, and says and hears what is said", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const chromium = await browser(t);
  const tabs = [];
  for (let count = 0; count < 2; count += 1) {
    const tab = await fixtureTab(await chromium.tab(), host.url(), {
      name: "ada",
      mint: () => host.token("ada", 600),
    });
    await tab.evaluate((count) => {
      globalThis.room = client.room("board-7");
      globalThis.said = [];
      room.presence.enter({ tab: count });
      void (async () => {
        for await (const { data } of room.messages()) said.push(data);
      })();
    }, count);
    tabs.push(tab);
  }
  const other = await chromium.tab();
  const ben = await fixtureTab(other, host.url(), { name: "ben", mint: () => host.token("ben", 600) });
  await ben.evaluate(() => {
    globalThis.room = client.room("board-7");
    room.presence.enter({ tab: "ben" });
  });
  const people = (tab) =>
    tab.evaluate(() => room.presence.getSnapshot().map(({ user, me, state }) => [user, me, state.tab]));
  await until("ben sees ada once, as she was last", async () => {
    const seen = await people(ben);
    return JSON.stringify(seen) === '[["ada",false,1],["ben",true,"ben"]]';
  });
  for (const tab of tabs) {
    await until(
      "each tab of hers sees both",
      async () => JSON.stringify(await people(tab)) === '[["ada",true,1],["ben",false,"ben"]]',
    );
  }
  await until("what ben says is heard", async () => (await ben.evaluate(() => room.send("hello"))) === 1);
  for (const tab of tabs) await until("in each tab", () => tab.evaluate(() => said.includes("hello")));
  for (const tab of tabs) assert.equal(await tab.evaluate(() => room.send("from a tab")), 1);

  // The tab that leads is closed: the other one goes on, in its own state.
  await tabs[0].close();
  await until(
    "she is still there",
    async () => JSON.stringify(await people(ben)) === '[["ada",false,1],["ben",true,"ben"]]',
  );
  await tabs[1].evaluate(() => room.presence.update({ tab: "late" }));
  await until("and moves", async () => (await people(ben))[0][2] === "late");
  await tabs[1].close();
  await until("and goes with her last tab", async () => (await people(ben)).length === 1);
  const direct = await ben.evaluate(() => client.user("ada").send("too late"));
  assert.equal(direct, 0);
});
