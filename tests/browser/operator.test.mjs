import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

test("an operator edits a dead letter, tries it again, and discards others", async (t) => {
  const host = await server(t);
  const call = caller(host);
  await work(call);
  await fail(call, 3);
  const tab = await open(t, host);
  const page = tab.locator("#operator");
  await page.getByRole("button", { name: /mailer.*3 dead/ }).click();
  const rows = page.locator("[data-letter]");
  await until("three letters are there", async () => (await rows.count()) === 3);
  assert.match(await rows.first().innerText(), /no such address\s+2\s+waiting/);

  // The first: what is in it, and a mistake while it is mended.
  await rows.first().getByRole("button", { name: "no such address" }).click();
  const event = page.getByLabel("The event");
  assert.deepEqual(JSON.parse(await event.inputValue()), { subject: "order-0", to: "nobody" });
  assert.equal(await page.locator(".attempts li").count(), 2);
  await event.fill('{ "subject": "order-0", ');
  await page.getByRole("button", { name: "Save the event" }).click();
  assert.match(await page.getByRole("alert").innerText(), /JSON/);
  await event.fill('{ "subject": "order-0", "to": "ada" }');
  await page.getByRole("button", { name: "Save the event" }).click();
  await page.getByText("Saved. It is not tried before you say so.").waitFor();
  await page.getByRole("button", { name: "Try this again" }).click();
  await page.getByText("1 being tried again").waitFor();
  const again = await call("POST", "/claim", { worker: "w", events: 9 });
  assert.deepEqual(
    again.events.map(({ event }) => event),
    [{ subject: "order-0", to: "ada" }],
  );
  await call("POST", "/ack", { lease: again.lease });
  await until("it is gone from the list", async () => (await rows.count()) === 2);

  // The others, by the keyboard alone.
  const all = page.getByLabel("All dead letters");
  await all.focus();
  await tab.keyboard.press("Space");
  const discard = page.getByRole("button", { name: "Discard 2" });
  await discard.focus();
  await tab.keyboard.press("Enter");
  await page.getByText("2 discarded").waitFor();
  await until("no letter is left", async () => (await rows.count()) === 0);
  assert.equal((await call("GET", "")).dead_letters, 0);
});

test("an operator mends an edit that a client was refused, and it is applied", async (t) => {
  const host = await server(t);
  const call = caller(host);
  // An edit that says nothing: no client of this package makes one.
  const doc = ["cards", "one"];
  const operation = { seq: 1, doc, at: [1, 0], schema: 0, intents: [], base: {} };
  const client = "0123456789abcdef0123456789abcdef";
  const collections = [{ collection: "cards", strategy: "fieldLevel" }];
  await call("POST", "/v1/push", { client, collections, operations: [operation] });
  const tab = await open(t, host);
  const page = tab.locator("#operator");
  await page.getByRole("button", { name: /Clients/ }).click();
  await page.getByRole("button", { name: /invalid_operation/ }).click();
  const text = page.getByLabel("The operation");
  assert.deepEqual(JSON.parse(await text.inputValue()), operation);
  await page.getByText("for the document cards/one").waitFor();
  await page.getByRole("button", { name: "Try this again" }).click();
  await page.getByText("1 refused again").waitFor();
  await page.getByRole("button", { name: /invalid_operation/ }).click();
  await text.fill(JSON.stringify({ ...operation, intents: [{ set: { title: "Mended" } }] }));
  await page.getByRole("button", { name: "Save the operation" }).click();
  await page.getByText("Saved. It is not tried before you say so.").waitFor();
  await page.getByRole("button", { name: "Try this again" }).click();
  await page.getByText("1 applied").waitFor();
  await until("no letter is left", async () => (await page.locator("[data-letter]").count()) === 0);
  const pulled = await call("POST", "/v1/pull", { client, collections, rejected: [1] });
  assert.equal(pulled.changes[0].documents[0].doc.latest.title, "Mended");
  assert.deepEqual(
    pulled.judgements.map(({ seq, outcome }) => [seq, outcome]),
    [[1, { accepted: {} }]],
  );
});

test("an operator is told that the server is away, and sees it come back", async (t) => {
  const host = await server(t);
  const tab = await open(t, host);
  await tab.getByText("There are no groups of workers yet.").waitFor();
  await host.kill();
  await tab.locator(".message.failed").waitFor();
  await host.start();
  const call = caller(host);
  await work(call);
  await fail(call, 1);
  await tab.getByRole("button", { name: /mailer.*1 dead/ }).waitFor();
  assert.equal(await tab.locator(".message").innerText(), "");
});

test("on a narrow phone dead letters can be read", async (t) => {
  const host = await server(t);
  const call = caller(host);
  await work(call);
  await fail(call, 1);
  const tab = await open(t, host);
  await tab.setViewportSize({ width: 360, height: 740 });
  await tab.getByRole("button", { name: /mailer/ }).click();
  await tab.getByRole("button", { name: "no such address" }).click();
  await tab.getByLabel("The event").waitFor();
  const width = await tab.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `the page is ${width} wide`);
});

async function open(t, host) {
  const tab = await (await browser(t)).tab();
  await tab.goto(`${host.url()}/operator.html`);
  return tab;
}

/** Asks the server about the group `mailer`. */
function caller(host) {
  return async (method, path, body) => {
    const url = path.startsWith("/v1/") ? path : `/v1/groups/mailer${path}`;
    const response = await fetch(host.url() + url, {
      method,
      headers: { authorization: `Bearer ${host.token()}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, text);
    return text === "" ? undefined : JSON.parse(text);
  };
}

/** A topic, and a group whose workers give up after two attempts. */
async function work(call) {
  await call("PUT", "/v1/streams/orders");
  const rules = { attempts: 2, poison: "park", backoff_ms: 1, backoff_max_ms: 1 };
  await call("PUT", "", { topic: "orders", rules });
}

/** Events, each of which fails until it is a dead letter. */
async function fail(call, count) {
  const events = Array.from({ length: count }, (_, n) => ({ subject: `order-${n}`, to: "nobody" }));
  await call("POST", "/v1/streams/orders", events);
  await until("all of them are dead letters", async () => {
    const { lease } = await call("POST", "/claim", { worker: "w", events: count, wait_ms: 100 });
    if (lease) await call("POST", "/nack", { lease, error: "no such address" });
    return (await call("GET", "")).dead_letters === count;
  });
}
