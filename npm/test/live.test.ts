import assert from "node:assert/strict";
import test from "node:test";
import { type Card, settled, shown, start } from "./setup.js";

test("a snapshot is the same array until the engine tells of a change", async () => {
  const { client, engine } = await start();
  const live = client.collection<Card>("cards").live({ from: "a", limit: 10 });
  assert.deepEqual(engine.called("openQuery"), [
    [1, { range: { collection: "cards", from: "a", limit: 10 } }],
  ]);
  assert.deepEqual([live.loaded, live.getSnapshot()], [false, []]);

  const documents = [shown("a", { title: "A" }, false, 1), shown("b", { title: "B" }, true)];
  engine.views.set(1, { loaded: true, documents });
  assert.equal(live.loaded, false);
  engine.emit({ viewChanged: 1 });
  await settled();
  const first = live.getSnapshot();
  assert.deepEqual(first, [
    { id: "a", value: { title: "A" }, pending: false, conflicted: false, updatedAt: 1 },
    { id: "b", value: { title: "B" }, pending: true, conflicted: false },
  ]);
  assert.equal(live.getSnapshot(), first);
  assert.ok(Object.isFrozen(first) && Object.isFrozen(first[0]?.value));

  documents[1] = shown("b", { title: "B2" });
  engine.emit({ viewChanged: 1 });
  await settled();
  const second = live.getSnapshot();
  assert.notEqual(second, first);
  assert.equal(second[0], first[0]);
  assert.equal(second[1]?.value.title, "B2");

  engine.emit({ viewChanged: 1 });
  await settled();
  assert.equal(live.getSnapshot(), second, "a change that changes nothing draws nothing anew");
});

test("many changes at once read the view once and call back once", async () => {
  const { client, engine } = await start();
  const live = client.collection<Card>("cards").live();
  engine.views.set(1, { loaded: true, documents: [] });
  let calls = 0;
  const unsubscribe = live.subscribe(() => {
    calls++;
    live.getSnapshot();
  });
  for (let n = 0; n < 100; n++) {
    engine.emit({ viewChanged: 1 }, { viewChanged: 1 });
  }
  assert.equal(calls, 0, "never from within the engine's call");
  await settled();
  assert.equal(calls, 1);
  assert.equal(engine.called("view").length, 1);
  unsubscribe();
  engine.emit({ viewChanged: 1 });
  await settled();
  assert.equal(calls, 1);
});

test("a change is seen by whoever continues after the operation, without waiting for the callback", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const live = cards.live();
  const put = cards.put("a", { title: "A" });
  engine.views.set(1, { loaded: true, documents: [shown("a", { title: "A" }, true)] });
  engine.emit({ submitted: [2, 1] }, { viewChanged: 1 });
  await put;
  assert.equal(live.getSnapshot()[0]?.value.title, "A");
});

test("a listener that throws keeps no other from its turn", async () => {
  const { client, engine } = await start();
  const live = client.collection<Card>("cards").live();
  const reported: unknown[] = [];
  globalThis.reportError = (error: unknown) => void reported.push(error);
  const fault = new Error("a fault of the page");
  live.subscribe(() => {
    throw fault;
  });
  let called = false;
  live.subscribe(() => (called = true));
  engine.emit({ viewChanged: 1 });
  await settled();
  assert.deepEqual([reported, called], [[fault], true]);
});

test("close() ends the query and the loops, and keeps the last snapshot", async () => {
  const { client, engine } = await start();
  const live = client.collection<Card>("cards").live();
  engine.views.set(1, { loaded: true, documents: [shown("a", { title: "A" })] });
  const seen: unknown[] = [];
  const loop = (async () => {
    for await (const documents of live) {
      seen.push(documents);
    }
  })();
  engine.emit({ viewChanged: 1 });
  await settled();
  live[Symbol.dispose]();
  live.close();
  await loop;
  assert.equal(seen.length, 1);
  assert.deepEqual(engine.called("closeQuery"), [[1]]);
  assert.equal(live.getSnapshot(), seen[0]);
});

test("watch() opens a query for each loop and closes it with the loop", async () => {
  const { client, engine } = await start();
  const watched = client.collection<Card>("cards").watch({ to: "m" });
  assert.deepEqual(engine.called("openQuery"), []);
  engine.views.set(1, { loaded: true, documents: [] });
  for await (const documents of watched) {
    assert.deepEqual(documents, []);
    break;
  }
  assert.deepEqual(engine.called("openQuery"), [[1, { range: { collection: "cards", to: "m" } }]]);
  assert.deepEqual(engine.called("closeQuery"), [[1]]);
});

test("watch() honours its signal and closes the query", async () => {
  const { client, engine } = await start();
  const controller = new AbortController();
  const loop = (async () => {
    for await (const _ of client.collection<Card>("cards").watch({ signal: controller.signal })) {
      assert.fail("nothing was loaded");
    }
  })();
  controller.abort();
  await assert.rejects(loop, { name: "AbortError" });
  assert.deepEqual(engine.called("closeQuery"), [[1]]);
});

test("the close of the client ends every loop", async () => {
  const { client, engine } = await start();
  const loop = (async () => {
    for await (const _ of client.collection<Card>("cards").watch()) {
      assert.fail("nothing was loaded");
    }
  })();
  await client.close();
  await loop;
  assert.deepEqual(engine.called("closeQuery"), [], "a stopped engine is not called");
});

test("get() reads one document once and closes its query", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const found = cards.get("a");
  engine.views.set(1, { loaded: true, documents: [shown("a", { title: "A" })] });
  engine.emit({ viewChanged: 1 });
  assert.equal((await found)?.value.title, "A");

  engine.views.set(2, { loaded: true, documents: [] });
  assert.equal(await cards.get("b"), undefined);
  assert.deepEqual(engine.called("openQuery"), [
    [1, { one: ["cards", "a"] }],
    [2, { one: ["cards", "b"] }],
  ]);
  assert.deepEqual(engine.called("closeQuery"), [[1], [2]]);
});

test("get() can be ended by a signal or by the close of the client", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const controller = new AbortController();
  const [aborted, closed] = [cards.get("a", { signal: controller.signal }), cards.get("b")];
  controller.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  assert.deepEqual(engine.called("closeQuery"), [[1]]);
  await Promise.all([client.close(), assert.rejects(closed, { code: "closed" })]);
});

test("a query that the engine does not take is an error with its code", async () => {
  const { client, engine } = await start();
  const message = "document id is empty or too long";
  engine.failure = Object.assign(new Error(message), { code: "invalid_value", retryable: false });
  assert.throws(() => client.collection<Card>("cards").live({ from: "" }), {
    name: "RealtimeError",
    code: "invalid_value",
    message,
  });
});

test("a limit that the engine would not keep is refused, not cut", async () => {
  const { client, engine } = await start();
  for (const limit of [0, -1, 1.5, 10_001, NaN]) {
    assert.throws(() => client.collection<Card>("cards").live({ limit }), { code: "invalid_value" });
  }
  assert.deepEqual(engine.calls, []);
});

test("a query that is one too many is an error for whoever looks or waits", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const [live, found] = [cards.live(), cards.get("a")];
  engine.emit({ queryRefused: 1 }, { queryRefused: 2 });
  await assert.rejects(found, { name: "RealtimeError", code: "too_many" });
  assert.throws(live.getSnapshot, { code: "too_many" });
  await assert.rejects(live[Symbol.asyncIterator]().next(), { code: "too_many" });
  live.close();
  assert.deepEqual(engine.called("closeQuery"), [], "what was never opened is not closed");
});

test("an engine that fails while a view is read fails the loop over it", async () => {
  const { client, engine } = await start();
  const next = client.collection<Card>("cards").live()[Symbol.asyncIterator]().next();
  engine.failure = new WebAssembly.RuntimeError("unreachable");
  engine.emit({ viewChanged: 1 });
  await assert.rejects(next, { code: "engine_failed" });
});
