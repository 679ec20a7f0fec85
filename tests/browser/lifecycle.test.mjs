// What browsers and people do to tabs: they are stopped, discarded, closed all at once, run out of room, have their storage
// cleared and meet a newer release beside them. Whatever was reported as saved reaches the server once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { undo } from "./harness/cleanup.mjs";
import { database } from "./harness/database.mjs";
import {
  assertOnServer,
  leaderOf,
  put,
  putEach,
  reload,
  role,
  scene,
  status,
  untilSaved,
  untilSent,
  untilShown,
} from "./harness/tabs.mjs";
import { sleep, until } from "./harness/until.mjs";

const idsOf = (saved) => saved.map(({ id }) => id);
const incidents = (tab) => tab.evaluate(() => fixture.incidents.map(({ type }) => type));

test("a leader that is stopped in mid-work is replaced, and follows when it goes on", async (t) => {
  const { host, line, chromium, tabs: open } = await scene(t);
  const tabs = await open(4);
  const leader = await leaderOf(tabs);
  const others = tabs.filter((tab) => tab !== leader);
  const saved = await putEach(tabs, "before");
  const pid = await chromium.process(leader);
  // What it is told to do now it does when it goes on: then it is not the leader any more.
  const stopped = leader.evaluate(() => fixture.put("stopped"));
  process.kill(pid, "SIGSTOP");
  undo(t, () => resume(pid));
  saved.push(...(await putEach(others, "meanwhile")));
  const next = await leaderOf(others);
  await untilSent(next);
  process.kill(pid, "SIGCONT");
  saved.push(await stopped);
  await until("the old leader follows", async () => (await role(leader)) === "follower");
  saved.push(...(await putEach(tabs, "after")));
  await untilShown(tabs, idsOf(saved));
  await untilSent(leader);
  await until("there is one connection", () => line.webSockets() === 1);
  assertOnServer(host, saved);
});

test("a follower that is stopped holds up nobody, and learns what it missed", async (t) => {
  const { host, line, chromium, tabs: open } = await scene(t);
  const tabs = await open(3);
  const leader = await leaderOf(tabs);
  const [follower, other] = tabs.filter((tab) => tab !== leader);
  line.set("page only");
  await until("it is offline", async () => (await status(follower)).link === "down");
  const outcome = await follower.evaluate(async () => {
    const operation = await client.collection("cards").put("own", { id: "own" });
    globalThis.outcome = operation.outcome().then(({ type }) => type);
    return { id: "own", seq: operation.seq };
  });
  const saved = [outcome];
  const pid = await chromium.process(follower);
  process.kill(pid, "SIGSTOP");
  undo(t, () => resume(pid));
  line.set("open");
  saved.push(await put(other, "other"));
  await untilSent(other);
  // The leader that has told the outcome goes, too.
  await leader.close();
  await leaderOf([other]);
  process.kill(pid, "SIGCONT");
  assert.equal(await follower.evaluate(() => globalThis.outcome), "accepted");
  saved.push(await put(follower, "after"));
  await untilShown([follower, other], idsOf(saved));
  await untilSent(follower);
  assertOnServer(host, saved);
});

test("of eight tabs those whose processes die, the leader first, lose nothing that was saved", async (t) => {
  const { host, line, chromium, tabs: open } = await scene(t);
  const tabs = await open(8);
  line.set("page only");
  await until("they are offline", async () => (await status(tabs[7])).link === "down");
  const saved = await putEach(tabs, "before");
  const leader = await leaderOf(tabs);
  const dying = [leader, ...tabs.filter((tab) => tab !== leader).slice(0, 3)];
  const alive = tabs.filter((tab) => !dying.includes(tab));
  for (const tab of dying) {
    const pid = await chromium.process(tab);
    const gone = new Promise((crash) => tab.once("crash", crash));
    process.kill(pid, "SIGKILL");
    await gone;
    saved.push(...(await putEach(alive, `without-${dying.indexOf(tab)}`)));
  }
  await leaderOf(alive);
  // A page whose process died is loaded anew.
  const now = [...alive, ...(await open(dying.length))];
  saved.push(...(await putEach(now, "after")));
  line.set("open");
  await untilShown(now, idsOf(saved));
  await untilSent(now[0]);
  await until("there is one connection", () => line.webSockets() === 1);
  assertOnServer(host, saved);
});

test("a browser that is killed with eight tabs at work has every edit that was saved, once", async (t) => {
  const { host, line, chromium, tab } = await scene(t);
  const resolved = new Map();
  for (const [round, state] of ["open", "page only", "open"].entries()) {
    line.set(state);
    const told = Array.from({ length: 8 }, () => 0);
    for (const index of told.keys()) {
      const note = (operation) => {
        assert.ok(operation.durable);
        assert.ok(!resolved.has(operation.seq), `sequence ${operation.seq} was given out twice`);
        resolved.set(operation.seq, operation);
        told[index] += 1;
      };
      const page = await tab({ resolved: note });
      // It ends with the browser.
      page.evaluate((round) => fixture.submitApart(round), `${round}-${index}`).catch(() => {});
    }
    await until("every tab has saved something", () => told.every((count) => count > 0), 60_000);
    await sleep(500 * Math.random());
    await chromium.kill();
    await chromium.start();
  }
  line.set("open");
  const last = await tab();
  await untilSent(last, 120_000);
  assert.deepEqual(await last.evaluate(() => client.rejected()), []);
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
  assert.equal(stored.held.clients.length, 1);
  const judged = new Set(stored.judgements("ada").map(({ seq }) => seq));
  const documents = new Map(stored.documents().map((document) => [document.id, document]));
  const { actor } = stored.held.clients[0];
  const lost = [...resolved.values()].filter(
    ({ seq, id }) => !judged.has(seq) || documents.get(id)?.writers.id.join() !== `${actor},${seq}`,
  );
  assert.deepEqual(lost, []);
  t.diagnostic(`resolved=${resolved.size} on_server=${judged.size} lost=0 doubled=0`);
});

test("storage that is cleared under several tabs is told to each, and what was saved is saved again and sent once", async (t) => {
  const { host, line, tabs: open } = await scene(t);
  const tabs = await open(4);
  const leader = await leaderOf(tabs);
  line.set("page only");
  await until("they are offline", async () => (await status(tabs[3])).link === "down");
  const saved = await putEach(tabs, "before");
  await untilShown(tabs, idsOf(saved));
  const devtools = await leader.context().newCDPSession(leader);
  const { origin } = new URL(line.url);
  await devtools.send("Storage.clearDataForOrigin", { origin, storageTypes: "indexeddb" });
  for (const tab of tabs) {
    await until("the loss is told", async () => (await incidents(tab)).includes("storageLost"));
    assert.deepEqual(await incidents(tab), ["storageLost"]);
  }
  for (const [index, tab] of tabs.entries()) saved.push(await untilSaved(tab, `after-${index}`));
  // What is stored now is all there is: every page goes, and comes back.
  for (const tab of tabs) await reload(tab);
  await untilShown(tabs, idsOf(saved));
  line.set("open");
  await untilSent(tabs[0]);
  assertOnServer(host, saved);
});

test("when there is no room left each tab is told, nothing is lost, and all go on when there is", async (t) => {
  const { host, line, tab } = await scene(t);
  const { origin } = new URL(line.url);
  const squeeze = async (page, options) => {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin, ...options });
    return devtools;
  };
  // Before the first write: Chromium remembers for a while how much room there was.
  const tabs = [await tab({ before: (page) => squeeze(page, { quotaSize: 1_000_000 }) })];
  while (tabs.length < 8) tabs.push(await tab());
  line.set("page only");
  await until("they are offline", async () => (await status(tabs[7])).link === "down");
  const saved = [];
  const fill = async (page, index) => {
    for (let number = 0; ; number += 1) {
      const id = `large-${index}-${number}`;
      const answer = await page.evaluate(
        (id) =>
          client
            .collection("cards")
            .put(id, { id, text: "x".repeat(30_000) })
            .then(
              ({ seq }) => ({ id, seq }),
              ({ code, retryable }) => `${code}, ${retryable}`,
            ),
        id,
      );
      if (typeof answer === "string") return answer;
      saved.push(answer);
    }
  };
  const refusals = await Promise.all(tabs.map(fill));
  assert.deepEqual(
    refusals,
    refusals.map(() => "storage_full, true"),
  );
  await squeeze(tabs[0], {});
  for (const [index, page] of tabs.entries()) saved.push(await untilSaved(page, `room-${index}`));
  line.set("open");
  await untilSent(tabs[0]);
  assertOnServer(host, saved);
});

test("a tab of a newer release, with a newer storage, takes the lead; those of the older one keep what they edit", async (t) => {
  const { host, line, tab, tabs: open } = await scene(t);
  const older = await open(3);
  line.set("page only");
  await until("they are offline", async () => (await status(older[2])).link === "down");
  const saved = await putEach(older, "before");
  const newer = await tab({ before: (page) => page.addInitScript(newerRelease) });
  await until("the newer one leads", async () => (await role(newer)) === "leader");
  for (const each of older) {
    await until("the older ones say so", async () => (await status(each)).problem?.code === "update_needed");
  }
  saved.push(...(await putEach(older, "beside")));
  saved.push(await put(newer, "newer"));
  line.set("open");
  await until("there is one connection", () => line.webSockets() === 1);
  await untilSent(newer);
  await untilShown([newer], idsOf(saved));
  // Without the newer one an older one leads again, over the newer storage.
  await newer.close();
  const leader = await leaderOf(older);
  saved.push(...(await putEach(older, "after")));
  await untilSent(leader);
  await untilShown(older, idsOf(saved));
  assertOnServer(host, saved);
});

test("of two tabs that each believe to be alone only the one that has the storage sends", async (t) => {
  const { host, line, tab } = await scene(t);
  const alone = () => Object.defineProperty(Navigator.prototype, "locks", { value: undefined });
  const sent = [[], []];
  const open = (index) =>
    tab({
      before: async (page) => {
        await page.addInitScript(alone);
        const note = (text) => text?.includes('"operations"') && sent[index].push(text);
        page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => note(String(payload))));
        page.on("request", (request) => note(request.postData()));
      },
    });
  line.set("page only");
  const first = await open(0);
  assert.equal(await role(first), "alone");
  const saved = [await put(first, "before")];
  const second = await open(1);
  saved.push(await put(second, "after"));
  line.set("open");
  await Promise.all([first, second].map((each) => each.evaluate(() => client.wake())));
  await untilSent(second);
  await until("the first knows", async () => (await status(first)).problem?.code === "storage_unavailable");
  const refused = await first.evaluate(() => fixture.put("refused").catch(({ code }) => code));
  assert.equal(refused, "in_use");
  assert.deepEqual(sent[0], []);
  assert.ok(sent[1].length > 0);
  assertOnServer(host, saved);
});

/** Lets a process go on, unless it is gone. */
function resume(pid) {
  try {
    process.kill(pid, "SIGCONT");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/**
 * To be run in a page before anything else: makes it the page of a later release, whose databases are a version on and
 * whose messages between tabs have a version that this release does not understand.
 */
function newerRelease() {
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (name, version) {
    return open.call(this, name, version && version + 1);
  };
  const { postMessage } = BroadcastChannel.prototype;
  BroadcastChannel.prototype.postMessage = function (envelope) {
    const versions = envelope.versions.map((version) => version + 1);
    return postMessage.call(this, { ...envelope, versions });
  };
  const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage");
  Object.defineProperty(BroadcastChannel.prototype, "onmessage", {
    set(hear) {
      const lowered = ({ data }) => {
        const versions = data.versions.map((version) => version - 1);
        hear({ data: { ...data, versions } });
      };
      set.call(this, hear && lowered);
    },
  });
}
