import assert from "node:assert/strict";
import test from "node:test";
import { openClient } from "../src/client.js";
import type { ClientOptions } from "../src/types.js";
import { ScriptedEngine } from "./scripted_engine.js";
import { type Card, settled, start } from "./setup.js";

const GOOD: ClientOptions = {
  url: "http://127.0.0.1:8787",
  token: "t0",
  collections: { cards: "fieldLevel" },
};

test("the engine gets the options, a name by default, and the token when it asks", async () => {
  const { engine } = await start();
  assert.deepEqual(engine.options, {
    url: "http://127.0.0.1:8787/",
    name: "default",
    collections: [
      ["cards", "fieldLevel"],
      ["notes", "lastWriteWins"],
    ],
    schema: 0,
  });
  assert.equal(await engine.token(), "t0");
});

test("a token function is asked each time, with a signal that ends with the client", async () => {
  const engine = new ScriptedEngine();
  let asked = 0;
  let ended: AbortSignal | undefined;
  const client = await openClient(engine.open, {
    ...GOOD,
    token: ({ signal }) => {
      ended = signal;
      return Promise.resolve(`t${++asked}`);
    },
  });
  assert.deepEqual([await engine.token(), await engine.token()], ["t1", "t2"]);
  assert.equal(ended?.aborted, false);
  await client.close();
  assert.equal(ended?.aborted, true);
});

test("a token function that gives no text is an error of its own", async () => {
  const engine = new ScriptedEngine();
  await openClient(engine.open, { ...GOOD, token: () => undefined as unknown as string });
  await assert.rejects(engine.token(), { code: "invalid_options" });
});

const BAD: [string, Partial<Record<keyof ClientOptions, unknown>>][] = [
  ["a relative address", { url: "/realtime" }],
  ["an address of another scheme", { url: "file:///tmp" }],
  ["collections that are null", { collections: null }],
  ["collections that are none", { collections: undefined }],
  ["a token that is none", { token: 7 }],
  ["an empty name", { name: "" }],
  ["a schema that is no whole number", { schema: 1.5 }],
  ["a negative schema", { schema: -1 }],
];
for (const [name, bad] of BAD) {
  test(`refused as options: ${name}`, async () => {
    const open = () => assert.fail("the engine was opened");
    await assert.rejects(openClient(open, { ...GOOD, ...bad } as ClientOptions), {
      name: "RealtimeError",
      code: "invalid_options",
    });
  });
}

test("an engine that does not open rejects with its code and cause", async () => {
  const refused = Object.assign(new Error("storage is in use by another client"), {
    code: "in_use",
    retryable: true,
  });
  const open = () => Promise.reject(refused);
  await assert.rejects(openClient(open, GOOD), { code: "in_use", retryable: true, cause: refused });
});

test("a start that was aborted leaves no engine running", async () => {
  const controller = new AbortController();
  const engine = new ScriptedEngine();
  const opening = openClient(
    (...args) => {
      controller.abort();
      return engine.open(...args);
    },
    { ...GOOD, signal: controller.signal },
  );
  await assert.rejects(opening, { name: "AbortError" });
  assert.deepEqual([engine.called("stop").length, engine.called("free").length], [1, 1]);
});

test("the status is the same object until it changes", async () => {
  const { client, engine } = await start();
  const first = client.status;
  assert.deepEqual(first, {
    link: "down",
    network: true,
    pending: 0,
    rejected: 0,
    conflicts: 0,
    damaged: 0,
    durable: true,
    caughtUp: false,
    role: "alone",
  });
  assert.ok(Object.isFrozen(first));
  assert.equal(client.status, first);
  engine.emit("statusChanged");
  await settled();
  assert.equal(client.status, first, "told of a change that changed nothing");

  const problem = { code: "token_expired", message: "the token has expired", retryAfter: 10 };
  engine.statusNow = { ...engine.statusNow, link: "degraded", pending: 2, problem };
  let calls = 0;
  const unsubscribe = client.subscribe(() => calls++);
  engine.emit("statusChanged", "statusChanged");
  await settled();
  unsubscribe();
  assert.equal(calls, 1);
  const { retryAfter: _, ...told } = problem;
  assert.deepEqual(client.status, { ...first, link: "degraded", pending: 2, problem: told });
});

test("statuses() gives the present one first, then each newest, and ends with the client", async () => {
  const { client, engine } = await start();
  const seen: number[] = [];
  const loop = (async () => {
    for await (const { pending } of client.statuses()) {
      seen.push(pending);
    }
  })();
  for (const pending of [1, 2]) {
    await settled();
    engine.statusNow = { ...engine.statusNow, pending };
    engine.emit("statusChanged");
  }
  await settled();
  await client.close();
  await loop;
  assert.deepEqual(seen, [0, 1, 2]);
});

test("rejected operations are listed until discarded", async () => {
  const { client, engine } = await start();
  const reason = { code: "forbidden", message: "not allowed" };
  engine.rejectedNow = [
    { seq: 4, doc: ["cards", "a"], intents: [{ delete: {} }], schema: 1, reason, at: 5, attempts: 1 },
  ];
  assert.deepEqual(client.rejected(), [
    {
      seq: 4,
      collection: "cards",
      id: "a",
      ...reason,
      intents: [{ delete: {} }],
      schema: 1,
      at: 5,
      attempts: 1,
    },
  ]);
  client.discard(4);
  assert.deepEqual(engine.called("discard"), [[4]]);
});

test("network and wake-ups go to the engine", async () => {
  const { client, engine } = await start();
  client.setNetwork(false);
  client.wake();
  assert.deepEqual(engine.calls, [["setNetwork", false], ["wake"]]);
});

test("only collections that were named at the start can be had", async () => {
  const { client } = await start();
  for (const name of ["other", "constructor", "__proto__"] as unknown as "cards"[]) {
    assert.throws(() => client.collection<Card>(name), { code: "unknown_collection" });
  }
});

test("close() stops the engine once, and tells everyone who waits", async () => {
  const { client, engine } = await start();
  const put = client.collection<Card>("cards").put("a", { title: "A" });
  const closing = [client.close(), client[Symbol.asyncDispose]()];
  await assert.rejects(put, { code: "closed", retryable: false });
  await Promise.all(closing);
  assert.deepEqual([engine.called("stop").length, engine.called("free").length], [1, 1]);
  assert.throws(() => client.wake(), { code: "closed" });
  await assert.rejects(client.collection<Card>("cards").put("a", { title: "A" }), { code: "closed" });
  assert.equal(client.status.link, "down");
});

test("an engine that fails while it is closed still lets go of everyone who waits", async () => {
  const { client, engine } = await start();
  const put = client.collection<Card>("cards").put("a", { title: "A" });
  engine.failure = new WebAssembly.RuntimeError("unreachable");
  await Promise.all([
    assert.rejects(client.close(), { code: "engine_failed" }),
    assert.rejects(put, { code: "closed" }),
  ]);
  assert.throws(() => client.wake(), { code: "closed" });
});

test("events of a newer engine, or after the end, are skipped", async () => {
  const { client, engine } = await start();
  engine.emit("somethingNew", { somethingElse: [1] }, { notRecovered: "cards" }, { viewChanged: 99 });
  await client.close();
  engine.emit("statusChanged", { submitted: [1, 1] }, { settled: [1, ["cards", "a"], { accepted: {} }] });
  await settled();
  assert.equal(client.status.link, "down");
});
