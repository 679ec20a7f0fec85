import assert from "node:assert/strict";
import test from "node:test";
import { RealtimeError } from "../src/errors.js";
import { type Card, settled, shown, start } from "./setup.js";

test("put, update and delete hand over one text each and resolve when it is durable", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const done = [
    cards.put("a", { title: "A" }),
    cards.update("a", { title: "B", done: undefined }),
    cards.delete("a"),
  ];
  let resolved = 0;
  done.forEach((each) => void each.then(() => resolved++));
  await settled();
  assert.equal(resolved, 0);
  assert.deepEqual(engine.called("submit"), [
    [1, "cards", "a", 0, '[{"put":{"title":"A"}}]'],
    [2, "cards", "a", 0, '[{"set":{"title":"B"}},{"unset":["done"]}]'],
    [3, "cards", "a", 0, '[{"delete":{}}]'],
  ]);
  engine.emit({ submitted: [1, 11] }, { submitted: [2, 12] }, { submitted: [3, 13] });
  const operations = await Promise.all(done);
  assert.deepEqual(
    operations.map(({ id, seq, durable }) => ({ id, seq, durable })),
    [11, 12, 13].map((seq) => ({ id: `c1:${seq}`, seq, durable: true })),
  );
});

test("where documents are written whole, update puts what is seen now with the patch laid over it", async () => {
  const { client, engine } = await start();
  const notes = client.collection<Card>("notes");
  const updating = notes.update("a", { title: "B", done: undefined });
  const query = engine.last("openQuery");
  engine.views.set(query, { loaded: true, documents: [shown("a", { title: "A", done: true, tags: ["x"] })] });
  engine.emit({ viewChanged: query });
  await settled();
  assert.deepEqual(engine.called("submit"), [
    [engine.last("submit"), "notes", "a", 0, '[{"put":{"title":"B","tags":["x"]}}]'],
  ]);
  engine.emit({ submitted: [engine.last("submit"), 1] });
  assert.equal((await updating).seq, 1);
});

test("where there is no storage the operation says so", async () => {
  const { client, engine } = await start();
  engine.statusNow = { ...engine.statusNow, durable: false };
  const put = client.collection<Card>("cards").put("a", { title: "A" });
  engine.emit({ submitted: [engine.last("submit"), 1] });
  assert.equal((await put).durable, false);
});

test("what the engine refuses rejects with its code, and says whether to try again", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const [full, invalid] = [cards.put("a", { title: "A" }), cards.put("b", { title: "B" })];
  engine.emit(
    { refused: [1, { code: "outbox_full", message: "the outbox holds its limit" }] },
    { refused: [2, { code: "too_large", message: "the operation has 2 bytes; 1 are allowed" }] },
  );
  await assert.rejects(
    full,
    (error) => error instanceof RealtimeError && error.code === "outbox_full" && error.retryable,
  );
  await assert.rejects(invalid, { name: "RealtimeError", code: "too_large", retryable: false });
});

test("what the engine throws rejects, and the next call is unharmed", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  engine.failure = { code: "malformed", message: "document id is empty", retryable: false };
  await assert.rejects(cards.put("", { title: "A" }), { code: "malformed", message: "document id is empty" });
  const trap = new WebAssembly.RuntimeError("unreachable");
  engine.failure = trap;
  await assert.rejects(cards.put("a", { title: "A" }), { code: "engine_failed", cause: trap });
  const put = cards.put("a", { title: "A" });
  engine.emit({ submitted: [engine.last("submit"), 1] });
  assert.equal((await put).seq, 1);
});

test("bad values and ids never reach the engine", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const bad = 1n as unknown as string;
  await assert.rejects(cards.put("a", { title: bad }), { name: "RealtimeError", code: "invalid_value" });
  await assert.rejects(cards.update("a", {}), { code: "invalid_value" });
  await assert.rejects(cards.put("\ud800", { title: "A" }), { code: "invalid_value" });
  await assert.rejects(cards.delete(7 as unknown as string), { code: "invalid_value" });
  await assert.rejects(cards.get(undefined as unknown as string), { code: "invalid_value" });
  assert.deepEqual(engine.calls, []);
});

test("a signal aborted before the call keeps the operation from being made", async () => {
  const { client, engine } = await start();
  const put = client.collection<Card>("cards").put("a", { title: "A" }, { signal: AbortSignal.abort("no") });
  await assert.rejects(put, (reason) => reason === "no");
  assert.deepEqual(engine.calls, []);
});

test("a signal aborted after the call ends the wait, not the operation", async () => {
  const { client, engine } = await start();
  const controller = new AbortController();
  const put = client.collection<Card>("cards").put("a", { title: "A" }, { signal: controller.signal });
  controller.abort();
  await assert.rejects(put, { name: "AbortError" });
  engine.emit({ submitted: [engine.last("submit"), 1] }, { settled: [1, ["cards", "a"], { accepted: {} }] });
  await settled();
  assert.equal(engine.called("submit").length, 1);
});

test("outcomes are told in the words of the public type", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const rejected = { code: "document_too_large", message: "too large" };
  const wire = [{ accepted: {} }, { merged: { lost: ["title"] } }, { superseded: {} }, { rejected }];
  const operations = await Promise.all(
    wire.map((_, index) => {
      const put = cards.put("a", { title: "A" });
      engine.emit({ submitted: [engine.last("submit"), index + 1] });
      return put;
    }),
  );
  const early = operations.map((operation) => operation.outcome());
  wire.forEach((outcome, index) => engine.emit({ settled: [index + 1, ["cards", "a"], outcome] }));
  const expected = [
    { type: "accepted" },
    { type: "merged", lost: ["title"] },
    { type: "superseded" },
    { type: "rejected", ...rejected },
  ];
  assert.deepEqual(await Promise.all(early), expected);
  assert.deepEqual(await Promise.all(operations.map((operation) => operation.outcome())), expected);
});

test("an operation settled in the same breath as it was saved has its outcome", async () => {
  const { client, engine } = await start();
  const put = client.collection<Card>("cards").put("a", { title: "A" });
  engine.emit({ submitted: [1, 1] }, { settled: [1, ["cards", "a"], { accepted: {} }] });
  assert.deepEqual(await (await put).outcome(), { type: "accepted" });
});

test("the wait for an outcome ends by signal, by the close of the client, and never unheard", async () => {
  const { client, engine } = await start();
  const put = client.collection<Card>("cards").put("a", { title: "A" });
  engine.emit({ submitted: [1, 1] });
  const operation = await put;
  const controller = new AbortController();
  const [aborted, closed] = [operation.outcome({ signal: controller.signal }), operation.outcome()];
  controller.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  await Promise.all([client.close(), assert.rejects(closed, { code: "closed" })]);
  await assert.rejects(operation.outcome(), { code: "closed" });
});

test("a thousand puts at once cost one text each and no timer", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const [stringify, later] = [JSON.stringify, globalThis.setTimeout];
  let [texts, timers] = [0, 0];
  JSON.stringify = ((...args: Parameters<typeof stringify>) => (
    texts++,
    stringify(...args)
  )) as typeof stringify;
  globalThis.setTimeout = ((...args: Parameters<typeof later>) => (timers++, later(...args))) as typeof later;
  try {
    const puts = Array.from({ length: 1000 }, (_, n) => cards.put(`card-${n}`, { title: `card ${n}` }));
    assert.deepEqual([texts, timers], [1000, 0]);
    engine.emit(...puts.map((_, n) => ({ submitted: [n + 1, n + 1] })));
    assert.equal((await Promise.all(puts)).length, 1000);
    assert.deepEqual(timers, 0);
    assert.equal(engine.called("status").length, 1);
  } finally {
    [JSON.stringify, globalThis.setTimeout] = [stringify, later];
  }
});
