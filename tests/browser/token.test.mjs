import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { server } from "./harness/server.mjs";
import { sleep, until } from "./harness/until.mjs";

test("when a token expires the client gets a new one and goes on; no edit is dropped", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const lives = 3;
  let minted = 0;
  const tab = await fixtureTab(await (await browser(t)).tab(), host.url(), {
    name: "token",
    mint: () => {
      minted += 1;
      return host.token("ada", lives);
    },
  });
  const outcomes = [];
  // Over several lives of a token, so that some edits meet its end.
  for (const end = Date.now() + 3 * lives * 1000; Date.now() < end; await sleep(200)) {
    outcomes.push(
      tab.evaluate(async (number) => {
        const operation = await client.collection("cards").put(`card-${number}`, { number });
        return (await operation.outcome()).type;
      }, outcomes.length),
    );
  }
  const types = await Promise.all(outcomes);
  assert.deepEqual(new Set(types), new Set(["accepted"]));
  assert.ok(minted >= 3, `${minted} tokens were asked for`);
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
  assert.equal(stored.documents().length, types.length);
});

test("an expired token is replaced at the first connection, too", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const expired = host.token("ada", 1);
  await sleep(2_100);
  let asked = 0;
  const tab = await fixtureTab(await (await browser(t)).tab(), host.url(), {
    name: "token",
    mint: () => ((asked += 1) === 1 ? expired : host.token("ada", 600)),
  });
  await tab.evaluate(() => client.collection("cards").put("card", { number: 1 }));
  await until("the edit is on the server", () => tab.evaluate(() => client.status.pending === 0));
  assert.ok(asked >= 2);
  assert.equal(database(host).documents().length, 1);
});

/** Notes the sockets of a tab, what is sent over them, and each state that its client tells of. */
async function watched(t, host, mint) {
  const tab = await (await browser(t)).tab();
  const seen = { opened: 0, refreshed: 0 };
  tab.on("websocket", (socket) => {
    seen.opened += 1;
    socket.on("framesent", ({ payload }) => {
      if (String(payload).startsWith('{"refresh"')) seen.refreshed += 1;
    });
  });
  await fixtureTab(tab, host.url(), { name: "token", mint });
  await until("the link is up", () => tab.evaluate(() => client.status.link === "up"));
  await tab.evaluate(() => {
    globalThis.links = [];
    client.subscribe(() => links.push(client.status.link));
  });
  return { tab, seen };
}

test("a session outlives its tokens by those that come after them, and is never opened anew", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const lives = 8;
  let minted = 0;
  const { tab, seen } = await watched(t, host, () => {
    minted += 1;
    return host.token("ada", lives);
  });
  const begun = Date.now();
  const outcomes = [];
  // The first token ends, and so does the second; each edit is answered by whichever counts.
  while (Date.now() < begun + 2.5 * lives * 1000) {
    const edit = async (number) => {
      const operation = await client.collection("cards").put(`card-${number}`, { number });
      return (await operation.outcome()).type;
    };
    outcomes.push(await tab.evaluate(edit, outcomes.length));
    await sleep(500);
  }
  assert.deepEqual(new Set(outcomes), new Set(["accepted"]));
  assert.ok(minted >= 3 && seen.refreshed >= 2, `${minted} tokens, ${seen.refreshed} of them in the session`);
  assert.equal(seen.opened, 1, "one connection");
  assert.deepEqual(await tab.evaluate(() => links.filter((link) => link !== "up")), []);
  database(host).assertEachOnce();
});
