import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

/** Has something done in the server's ledger by a person, as a program does that speaks plain HTTP. */
async function ledger(host, person, name, body) {
  const headers = { authorization: `Bearer ${host.token(person, 600)}`, "idempotency-key": `"${name}"` };
  const url = `${host.url()}/v1/transactions/${name}`;
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(body), headers });
  assert.equal(answer.status, 200);
}

/** What is in an account of a person's. */
async function balance(host, person, account) {
  const headers = { authorization: `Bearer ${host.token(person, 600)}` };
  const url = `${host.url()}/v1/transactions/ledger.balance?account=${account}`;
  return (await (await fetch(url, { headers })).json()).balance;
}

/** Ada has 100 in `a`, Bob has `b`. */
async function accounts(host) {
  await ledger(host, "ada", "ledger.open", { account: "a", currency: "NGN" });
  await ledger(host, "ada", "ledger.issue", { account: "a", amount: 100 });
  await ledger(host, "bob", "ledger.open", { account: "b", currency: "NGN" });
}

/** Transfers from `a` to `b` in a page; gives the outcome, or what there is to know of its lack. */
function transfer(tab, amount, options) {
  return tab.evaluate(
    async ([amount, options]) => {
      try {
        return await client.transaction("ledger.transfer", { from: "a", to: "b", amount }, options);
      } catch ({ code, retryable, idempotencyKey }) {
        return { code, retryable, idempotencyKey };
      }
    },
    [amount, options],
  );
}

const link = (tab) => tab.evaluate(() => client.status.link);

/** Some tabs of Ada's, behind a line to a server. */
async function tabs(t, count) {
  const host = await server(t, { web: await fixtureSite(t) });
  await accounts(host);
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const opened = [];
  for (let number = 0; number < count; number += 1) {
    const mint = () => host.token("ada", 600);
    const tab = await fixtureTab(await chromium.tab(), line.url, { name: "money", mint });
    await until("it is connected", async () => (await link(tab)) === "up");
    opened.push(tab);
  }
  return { host, line, opened };
}

test("every tab has transactions done, once a key, and an answer that is lost is told later", async (t) => {
  const { host, line, opened } = await tabs(t, 2);
  const [leads, follows] = opened;
  assert.deepEqual(await Promise.all(opened.map((tab) => tab.evaluate(() => client.status.role))), [
    "leader",
    "follower",
  ]);
  assert.equal((await transfer(leads, 1)).answer.balance, 99);
  const first = await transfer(follows, 2, { idempotencyKey: "k" });
  assert.deepEqual(first, {
    type: "done",
    answer: { account: "a", balance: 97, currency: "NGN" },
    replayed: false,
  });
  // The key is the person's, in whichever tab.
  assert.deepEqual(await transfer(leads, 2, { idempotencyKey: "k" }), { ...first, replayed: true });
  const refused = await transfer(follows, 98);
  assert.deepEqual([refused.type, refused.code], ["refused", "insufficient_funds"]);
  const reused = await transfer(leads, 3, { idempotencyKey: "k" });
  assert.deepEqual([reused.code, reused.retryable], ["idempotency_key_reused", false]);

  line.set("deaf");
  const lost = await transfer(follows, 4, { timeout: 1_500 });
  assert.deepEqual([lost.code, lost.retryable], ["outcome_unknown", true]);
  await until("it has happened all the same", async () => (await balance(host, "bob", "b")) === 7);
  line.set("open");
  let told;
  await until("it is connected, and tells", async () => {
    await leads.evaluate(() => client.wake());
    told = await transfer(leads, 4, { idempotencyKey: lost.idempotencyKey });
    return told.type === "done";
  });
  assert.deepEqual([told.answer.balance, told.replayed], [93, true]);
  assert.equal(await balance(host, "bob", "b"), 7);
});

test("without a connection a transaction is refused at once, and nothing of it is kept", async (t) => {
  const { host, opened } = await tabs(t, 1);
  const [tab] = opened;
  await tab.evaluate(() => client.setNetwork(false));
  await until("it is offline", async () => (await link(tab)) === "down");
  const refused = await transfer(tab, 5, { idempotencyKey: "k" });
  assert.deepEqual(refused, { code: "offline", retryable: true, idempotencyKey: "k" });
  assert.equal(await tab.evaluate(() => client.status.pending), 0);
  await tab.evaluate(() => client.setNetwork(true));
  await until("it is connected", async () => (await link(tab)) === "up");
  // Whatever is in the outbox goes before this one is confirmed.
  await tab.evaluate(async () => (await client.collection("cards").put("a", {})).outcome());
  assert.equal(await balance(host, "bob", "b"), 0);
  assert.equal((await transfer(tab, 5, { idempotencyKey: "k" })).replayed, false);
  assert.equal(await balance(host, "bob", "b"), 5);
});
