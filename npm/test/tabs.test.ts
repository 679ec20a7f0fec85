import assert from "node:assert/strict";
import { test } from "node:test";

import { openClient } from "../src/client.js";
import { RealtimeError } from "../src/errors.js";
import { common } from "../src/tabs/protocol.js";
import { shared } from "../src/tabs/tab.js";
import { Origin } from "./browser_parts.js";
import { ScriptedEngine } from "./scripted_engine.js";
import { type Card, shown } from "./setup.js";
import { adopt, tab, until } from "./tabs_setup.js";

test("the first tab leads, the others follow and have no engine", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  assert.deepEqual([first.client.status.role, second.client.status.role], ["leader", "follower"]);
  assert.deepEqual(second.engine.calls, []);
});

test("a follower's edit is durable before the leader hears of it, and resolves when it is adopted", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const operation = second.cards.put("a", { title: "A" });
  const text = await until("it is stored", () => [...origin.stored.values()][0]);
  assert.match(String(text), /"method":"submit","args":\["cards","a",0,/);
  await adopt(origin, first.engine, 7);
  assert.equal((await operation).id, "c1:7");
  const args = first.engine.called("submit")[0]?.slice(1, 5);
  assert.deepEqual(args, ["cards", "a", 0, '[{"put":{"title":"A"}}]']);
  await until("the receipt is taken away", () => origin.stored.size === 0);
});

test("edits of one tab are adopted in the order they were made in", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const ids = Array.from({ length: 12 }, (_, number) => `card-${number}`);
  ids.forEach((id) => void second.cards.put(id, { title: id }).catch(() => undefined));
  const submitted = await until("all are adopted", () => {
    const calls = first.engine.called("submit");
    return calls.length === ids.length && calls;
  });
  assert.deepEqual(
    submitted.map(([, , id]) => id),
    ids,
  );
});

test("a follower finds the operations that the leader holds, and no others", async () => {
  const origin = new Origin();
  const [first] = [await tab(origin)];
  for (const seq of [3, 4, 9]) {
    const operation = first.cards.put("a", { title: "A" });
    first.engine.emit({ submitted: [first.engine.last("submit"), seq] });
    await operation;
  }
  const second = await tab(origin);
  assert.deepEqual(
    [3, 4, 9].map((seq) => second.client.operation(seq).id),
    ["c1:3", "c1:4", "c1:9"],
  );
  for (const seq of [2, 5, 8, 10]) {
    assert.throws(() => second.client.operation(seq), { code: "invalid_value" });
  }
  const outcome = second.client.operation(4).outcome();
  first.engine.emit({ settled: [4, ["cards", "a"], { accepted: {} }] }, "statusChanged");
  assert.equal((await outcome).type, "accepted");
  assert.throws(() => second.client.operation(4), { code: "invalid_value" });
  assert.equal(second.client.operation(3).id, "c1:3");
});

test("an edit that cannot be stored is refused, and the leader never hears of it", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  origin.failure = new RealtimeError("storage_full", "no room");
  await assert.rejects(second.cards.put("a", { title: "A" }), { code: "storage_full" });
  assert.deepEqual(first.engine.called("submit"), []);
});

test("an edit that the leader refuses rejects, and is not tried again", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const refused = assert.rejects(second.cards.put("a", { title: "A" }), { code: "too_large" });
  const [ticket] = await until("the leader adopts", () => first.engine.called("adopt")[0]);
  first.engine.emit({ refused: [ticket, { code: "too_large", message: "", retryable: false }] });
  await refused;
  assert.equal(origin.stored.size, 0);
  assert.equal(first.engine.called("submit").length, 1);
});

test("a follower sees what the leader's engine shows it, and the end of its tab closes its queries", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const live = second.cards.live();
  const [name] = await until("the query is open", () => first.engine.called("openQuery")[0]);
  first.engine.views.set(name as number, { loaded: true, documents: [shown("a", { title: "A" })] });
  first.engine.emit({ viewChanged: name });
  await until("it is shown", () => live.getSnapshot()[0]?.value.title === "A");
  await second.client.close();
  await until("the query is closed", () => first.engine.last("closeQuery") === name);
});

test("when the leader ends, a follower opens the engine, goes on with its queries and adopts what is left", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const live = second.cards.live();
  const [name] = await until("the query is open", () => first.engine.called("openQuery")[0]);
  first.engine.views.set(name as number, { loaded: true, documents: [shown("a", { title: "A" })] });
  first.engine.emit({ viewChanged: name });
  await until("it is shown", () => live.getSnapshot().length === 1);
  const operation = second.cards.put("b", { title: "B" });
  await until("it is stored", () => origin.stored.size === 1);
  await first.client.close();
  await until("the other leads", () => second.client.status.role === "leader");
  assert.equal(live.getSnapshot().length, 1, "what was shown stays until the new engine has read");
  assert.equal(second.engine.called("openQuery").length, 1);
  await adopt(origin, second.engine, 8);
  assert.equal((await operation).seq, 8);
});

test("the answer of a leader that died before it gave it is found as a receipt in the store", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const operation = second.cards.put("b", { title: "B" });
  const [, key] = await until("the leader adopts", () => first.engine.called("adopt")[0]);
  origin.stored.set(key as string, 9);
  await first.client.close();
  assert.equal((await operation).seq, 9);
  assert.deepEqual(second.engine.called("adopt"), [], "it is not adopted again");
});

test("who hears that an edit is saved sees it, also by a new leader that has yet to read", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const live = second.cards.live();
  const [name] = await until("the query is open", () => first.engine.called("openQuery")[0]);
  first.engine.views.set(name as number, { loaded: true, documents: [] });
  first.engine.emit({ viewChanged: name });
  await until("it is shown", () => live.loaded);
  const operation = second.cards.put("b", { title: "B" });
  const [, key] = await until("the leader adopts", () => first.engine.called("adopt")[0]);
  // It dies before it tells.
  origin.stored.set(key as string, 9);
  second.engine.client = "c2";
  second.engine.views.set(1, { loaded: false, documents: [] });
  await first.client.close();
  await until("the other leads", () => second.client.status.role === "leader");
  await until("the receipt is found", () => origin.stored.size === 0);
  let seen: unknown;
  const told = operation.then(({ id }) => (seen = [id, live.getSnapshot().length]));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(seen, undefined);
  second.engine.views.set(1, { loaded: true, documents: [shown("b", { title: "B" }, true)] });
  second.engine.emit({ viewChanged: 1 });
  assert.deepEqual(await told, ["c2:9", 1]);
});

test("an edit that is refused and cannot be taken out of the store is not told as refused: it may be adopted yet", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const operation = second.cards.put("a", { title: "A" });
  const [ticket, key] = await until("the leader adopts", () => first.engine.called("adopt")[0]);
  origin.removal = new RealtimeError("not_durable", "the disk is full");
  first.engine.emit({ refused: [ticket, { code: "storage_full", message: "", retryable: true }] });
  await until("its removal has failed", () => origin.removal === undefined);
  origin.stored.set(key as string, 5);
  assert.equal((await operation).seq, 5);
});

test("a tab that shows what is stored does not take an engine without storage when the leader ends", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  second.engine.statusNow = { ...second.engine.statusNow, durable: false };
  await first.client.close();
  await until("the engine without storage is stopped", () => second.engine.called("stop").length > 0);
  assert.equal(second.client.status.role, "follower");
  second.engine.statusNow = { ...second.engine.statusNow, durable: true };
  await until("it leads once there is storage again", () => second.client.status.role === "leader");
});

test("a follower whose query the engine dies of hears that, and its edits are answered", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  first.engine.failure = new RealtimeError("engine_restarted", "it died");
  const live = second.cards.live();
  await until("it is refused", () => {
    try {
      live.getSnapshot();
      return false;
    } catch {
      return true;
    }
  });
  // The engine is back.
  first.engine.emit("reattached");
  const operation = second.cards.put("a", { title: "A" });
  await adopt(origin, first.engine, 4);
  assert.equal((await operation).seq, 4);
});

test("a tab that is put aside hands over, and follows when it comes back", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  first.host.leave();
  await until("the other leads", () => second.client.status.role === "leader");
  await until("its engine is stopped", () => first.engine.called("stop").length === 1);
  first.host.join();
  const operation = first.cards.put("c", { title: "C" });
  await adopt(origin, second.engine, 3);
  assert.equal((await operation).seq, 3);
  assert.equal(first.client.status.role, "follower");
});

test("an edit that a fenced leader could not store goes to the next one", async () => {
  const origin = new Origin();
  const first = await tab(origin);
  const operation = first.cards.put("a", { title: "A" });
  const ticket = first.engine.last("submit");
  const thief = origin.locks.request("webwaka:default", { steal: true }, () => Promise.resolve());
  first.engine.emit({ refused: [ticket, { code: "fenced", message: "", retryable: true }] });
  await thief;
  await adopt(origin, first.engine, 4);
  assert.equal((await operation).seq, 4);
});

test("a leader that does not answer is deprived of the lock within seconds", async () => {
  const origin = new Origin();
  // Somebody who holds the lock and says nothing.
  void origin.locks.request("webwaka:default", () => new Promise(() => undefined)).catch(() => undefined);
  const { client } = await tab(origin);
  assert.equal(client.status.role, "leader");
});

test("of versions without one in common the newer leads, and the older says so and keeps its edits", async () => {
  const origin = new Origin();
  const old = await tab(origin);
  const young = await tab(origin, [2, 2]);
  await until("the newer leads", () => young.client.status.role === "leader");
  await until("the older tells", () => old.client.status.problem?.code === "update_needed");
  const operation = old.cards.put("a", { title: "A" });
  await adopt(origin, young.engine, 5);
  assert.equal((await operation).seq, 5);
  await young.client.close();
  await until("the older leads again", () => old.client.status.role === "leader");
  assert.equal(old.client.status.problem, undefined);
});

test("versions are agreed on as the newest that both understand", () => {
  assert.deepEqual(
    [common([1, 1], [1, 1]), common([1, 3], [2, 4]), common([2, 2], [1, 1]), common([1, 1], [2, 3])],
    [1, 3, undefined, undefined],
  );
});

test("without Web Locks or a channel a tab works alone", async () => {
  const origin = new Origin();
  const engine = new ScriptedEngine();
  const alone = { ...origin.tab(), locks: undefined };
  const options = { url: "http://127.0.0.1:1", token: "t", collections: { cards: "fieldLevel" } } as const;
  const client = await openClient(shared(engine.open, alone), options);
  assert.equal(client.status.role, "alone");
  const operation = client.collection<Card>("cards").put("a", { title: "A" });
  engine.emit({ submitted: [engine.last("submit"), 1] });
  assert.equal((await operation).seq, 1);
  await client.close();
});

test("what is kept in memory is not shared", async () => {
  const origin = new Origin();
  const engine = new ScriptedEngine();
  engine.statusNow = { ...engine.statusNow, durable: false };
  const options = { url: "http://127.0.0.1:1", token: "t", collections: { cards: "fieldLevel" } } as const;
  const client = await openClient(shared(engine.open, origin.tab()), options);
  assert.equal(client.status.role, "alone");
  const second = await tab(origin);
  assert.equal(second.client.status.role, "leader", "the lock is free");
  await client.close();
});
