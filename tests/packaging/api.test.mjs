/** What the package promises, on the real engine and IndexedDB in Chromium, against the real server. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after, afterEach, before, beforeEach } from "node:test";
import { launch, visit } from "./setup/browser.mjs";
import { serveFiles } from "./setup/files.mjs";
import { html } from "./setup/page.mjs";
import { Project } from "./setup/project.mjs";
import { Server } from "./setup/server.mjs";

/** The script of the page: what the tests below find in `window`. */
const SCRIPT = `
  import { RealtimeError, createClient } from "./realtime/index.js";

  const login = { method: "POST", headers: { "content-type": "application/json" }, body: '{"subject":"ada"}' };
  window.start = (url, more = {}) =>
    createClient({
      url,
      token: async () => (await (await fetch(url + "/dev/token", login)).json()).token,
      collections: { cards: "fieldLevel", notes: "lastWriteWins" },
      ...more,
    });
  window.failure = (promise) =>
    promise.then(
      () => "it did not fail",
      (error) => (error instanceof RealtimeError ? error.code : String(error)),
    );
  /** The newest documents once \`enough\` holds of them. */
  window.once = async (collection, enough) => {
    for await (const documents of collection.watch({ signal: AbortSignal.timeout(15000) })) {
      if (enough(documents)) return documents;
    }
  };
`;

const server = new Server();
/** @type {Project} */
let project;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof serveFiles>>} */
let site;
/** @type {Awaited<ReturnType<typeof visit>>} */
let device;

before(async () => {
  await server.start();
  browser = await launch();
  project = new Project({ "package.json": '{ "name": "empty", "private": true, "type": "module" }' });
  const folder = join(project.dir, "site");
  mkdirSync(folder);
  project.copy("dist", "site/realtime");
  writeFileSync(join(folder, "index.html"), html("main.js"));
  writeFileSync(join(folder, "main.js"), SCRIPT);
  site = await serveFiles(folder);
});

after(async () => {
  await site?.close();
  project?.remove();
  await browser?.close();
  await server.stop();
});

beforeEach(async () => {
  device = await visit(browser, site.url);
});

afterEach(() => device.close());

/**
 * Runs a function in the page. It finds `start`, `failure` and `once` there, and is given the server's address.
 *
 * @param {(url: string, context: any) => unknown} use
 * @returns {Promise<any>}
 */
function inPage(use) {
  return device.page.evaluate(/** @type {any} */ (use), server.url);
}

test("a thousand edits at once are saved, told apart, and all reach the server", async () => {
  const told = await inPage(async (url) => {
    const { start, once } = /** @type {any} */ (window);
    const client = await start(url);
    const cards = client.collection("cards");
    const ids = Array.from({ length: 1000 }, (_, n) => `many-${n}`);
    const operations = await Promise.all(ids.map((id, n) => cards.put(id, { n })));
    const shown = await once(cards, (/** @type {any[]} */ all) => all.length === 1000);
    const outcomes = await Promise.all(operations.map((operation) => operation.outcome()));
    return {
      durable: operations.every((operation) => operation.durable),
      seqs: new Set(operations.map((operation) => operation.seq)).size,
      ids: new Set(operations.map((operation) => operation.id)).size,
      shown: shown.length,
      outcomes: [...new Set(outcomes.map((outcome) => outcome.type))],
      pending: client.status.pending,
    };
  });
  assert.deepEqual(told, {
    durable: true,
    seqs: 1000,
    ids: 1000,
    shown: 1000,
    outcomes: ["accepted"],
    pending: 0,
  });
  const documents = await server.documents("cards");
  assert.equal(Object.keys(documents).filter((id) => id.startsWith("many-")).length, 1000);
});

test("edits made offline survive a reload, show as pending, and are sent on return", async () => {
  const before = await inPage(async (url) => {
    const { start } = /** @type {any} */ (window);
    const client = await start(url);
    client.setNetwork(false);
    const cards = client.collection("cards");
    await cards.put("offline", { title: "A", done: false, note: "x" });
    await cards.update("offline", { done: true, note: undefined });
    return { status: client.status, document: await cards.get("offline") };
  });
  assert.deepEqual(before.document.value, { title: "A", done: true });
  // Both in one operation, as neither was sent before the other was made.
  assert.deepEqual([before.document.pending, before.status.pending, before.status.link], [true, 1, "down"]);
  assert.equal((await server.documents("cards"))["offline"], undefined);

  await device.page.reload();
  const after = await inPage(async (url) => {
    const { start, once } = /** @type {any} */ (window);
    const client = await start(url);
    const cards = client.collection("cards");
    const [first] = await once(cards, (/** @type {any[]} */ all) => all.length > 0);
    for await (const { pending } of client.statuses({ signal: AbortSignal.timeout(15000) })) {
      if (pending === 0) break;
    }
    return { first, last: await cards.get("offline"), pending: client.status.pending };
  });
  assert.ok(after.first);
  assert.deepEqual(after.last.value, { title: "A", done: true });
  assert.deepEqual([after.last.pending, after.pending], [false, 0]);
  assert.deepEqual((await server.documents("cards"))["offline"]?.["title"], "A");
});

test("a document that is deleted, or never was, is undefined", async () => {
  const found = await inPage(async (url) => {
    const { start } = /** @type {any} */ (window);
    const cards = (await start(url)).collection("cards");
    await cards.put("gone", { title: "A" });
    const there = await cards.get("gone");
    await (await cards.delete("gone")).outcome();
    return [
      there?.value.title,
      (await cards.get("gone")) === undefined,
      (await cards.get("never")) === undefined,
    ];
  });
  assert.deepEqual(found, ["A", true, true]);
});

test("a live query is one object until something changes, and shares what did not", async () => {
  const told = await inPage(async (url) => {
    const { start, once } = /** @type {any} */ (window);
    const client = await start(url);
    client.setNetwork(false);
    const cards = client.collection("cards");
    await cards.put("live-1", { title: "A", tags: ["x"] });
    await cards.put("live-2", { title: "B" });
    const live = cards.live({ from: "live-", to: "live-9" });
    for await (const all of live) if (all.length === 2) break;
    const first = live.getSnapshot();
    const same = live.getSnapshot() === first;
    const changed = new Promise((resolve) => live.subscribe(() => resolve(undefined)));
    await cards.put("live-2", { title: "C" });
    await changed;
    const second = live.getSnapshot();
    live.close();
    return {
      same,
      replaced: second !== first,
      shared: second[0] === first[0],
      title: second[1].value.title,
      frozen: Object.isFrozen(second[0].value.tags),
    };
  });
  assert.deepEqual(told, { same: true, replaced: true, shared: true, title: "C", frozen: true });
});

test("values come back as they were, whatever they are", async () => {
  const same = await inPage(async (url) => {
    const { start } = /** @type {any} */ (window);
    const cards = (await start(url)).collection("cards");
    const value = {
      text: 'žluťoučký 🐎 \u0000 \ud800 "\\',
      numbers: [0, -0.5, 1e300, 9007199254740991],
      deep: [[[{ a: null }]]],
      "a field": "",
      toString: true,
    };
    await (await cards.put("any 🐎", value)).outcome();
    const found = await cards.get("any 🐎");
    return (
      JSON.stringify(Object.entries(found.value).sort()) === JSON.stringify(Object.entries(value).sort())
    );
  });
  assert.equal(same, true);
});

test("what cannot be stored is refused with a code, and nothing of it is kept", async () => {
  const told = await inPage(async (url) => {
    const { start, failure } = /** @type {any} */ (window);
    const client = await start(url);
    const cards = client.collection("cards");
    const deep = (/** @type {number} */ levels) => JSON.parse("[".repeat(levels) + "]".repeat(levels));
    const codes = {
      bigint: await failure(cards.put("bad", { n: 1n })),
      prototype: await failure(cards.put("bad", JSON.parse('{"a":{"__proto__":1}}'))),
      id: await failure(cards.put("", { a: 1 })),
      control: await failure(cards.put("a\nb", { a: 1 })),
      field: await failure(cards.put("bad", { "": 1 })),
      deep: await failure(cards.put("bad", { a: deep(40) })),
      large: await failure(cards.put("bad", { a: "x".repeat(2_000_000) })),
      fields: await failure(
        cards.put("bad", Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`f${n}`, n]))),
      ),
    };
    return { codes, pending: client.status.pending, found: await cards.get("bad") };
  });
  assert.deepEqual(told, {
    codes: {
      bigint: "invalid_value",
      prototype: "invalid_value",
      id: "invalid_value",
      control: "invalid_value",
      field: "invalid_value",
      deep: "invalid_value",
      large: "too_large",
      fields: "invalid_operation",
    },
    pending: 0,
    found: undefined,
  });
});

test("clients of one name share what they have, also after one is closed", async () => {
  const told = await inPage(async (url) => {
    const { start, failure } = /** @type {any} */ (window);
    const first = await start(url);
    await first.collection("cards").put("kept", { title: "A" });
    const second = await start(url);
    const seen = (await second.collection("cards").get("kept"))?.value.title;
    const { id } = await second.collection("cards").put("second", { title: "B" });
    const roles = [first.status.role, second.status.role];
    const other = await start(url, { name: "other" });
    await Promise.all([first.close(), first.close(), other.close()]);
    const closed = await failure(first.collection("cards").put("a", {}));
    const after = await second.collection("cards").put("after", { title: "C" });
    const oneClient = id.split(":")[0] === after.id.split(":")[0];
    await second.close();
    const again = await start(url);
    const titles = [];
    for (const id of ["kept", "second", "after"]) {
      titles.push((await again.collection("cards").get(id))?.value.title);
    }
    return { seen, roles, closed, oneClient, titles };
  });
  assert.deepEqual(told, {
    seen: "A",
    roles: ["leader", "follower"],
    closed: "closed",
    oneClient: true,
    titles: ["A", "B", "C"],
  });
});

test("a failed load can be tried again, and the module can be given in any form", async () => {
  const told = await inPage(async (url) => {
    const { start, failure } = /** @type {any} */ (window);
    const codes = [
      await failure(start(url, { wasm: "/index.html" })),
      await failure(start(url, { wasm: "/missing.wasm" })),
      await failure(start(url, { wasm: new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) })),
      await failure(start(url, { signal: AbortSignal.abort("no") })),
    ];
    const client = await start(url, { wasm: fetch("/realtime/engine.wasm") });
    return [...codes, client.status.durable];
  });
  assert.deepEqual(told, ["load_failed", "load_failed", "load_failed", "no", true]);
});

test("without a token nothing is sent, everything is saved, and the status says why", async () => {
  const told = await inPage(async (url) => {
    const { start } = /** @type {any} */ (window);
    const client = await start(url, {
      name: "tokenless",
      token: () => Promise.reject(new Error("signed out")),
    });
    const operation = await client.collection("cards").put("tokenless", { title: "A" });
    for await (const { problem, pending, link } of client.statuses({ signal: AbortSignal.timeout(15000) })) {
      if (problem) return [operation.durable, problem.code, pending, link];
    }
  });
  assert.deepEqual(told, [true, "unauthenticated", 1, "down"]);
});
