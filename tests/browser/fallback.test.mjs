import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";

/** The way back up is probed with growing pauses. */
const CLIMB = 90_000;

test("where WebSockets are refused, edits go both ways over plain HTTP, and it climbs back up", async (t) => {
  const host = await server(t);
  const line = await proxy(t, host.port);
  line.set("no websocket");
  const ada = await board(await (await browser(t)).tab(), line.url, "Ada");
  await ada.untilLink("Slow lane: over plain HTTP", CLIMB);
  assert.equal(line.webSockets(), 0);
  await ada.add("todo", "From Ada");
  await ada.untilSaved("Everything is on the server");
  const ben = await board(await (await browser(t)).tab(), host.url(), "Ben");
  await ben.untilTitles("todo", ["From Ada"]);
  await ben.add("doing", "From Ben");
  await ada.untilTitles("doing", ["From Ben"]);

  line.set("open");
  await ada.untilLink("Live", CLIMB);
  assert.equal(line.webSockets(), 1);
  await ada.setNote("From Ben", "seen");
  await ada.untilSaved("Everything is on the server");

  line.set("no websocket");
  await ada.untilLink("Slow lane: over plain HTTP", CLIMB);
  await ada.add("todo", "Again from Ada");
  await ben.untilTitles("todo", ["From Ada", "Again from Ada"]);
  await ada.untilSaved("Everything is on the server");
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
});
