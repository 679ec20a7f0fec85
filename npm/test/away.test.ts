// What tabs miss, and learn all the same: those that follow, that come late, that were put aside, that are no more.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import type { Operation } from "../src/types.js";
import { Origin } from "./browser_parts.js";
import { adopt, tab, until } from "./tabs_setup.js";

test("every tab hears what befalls the storage", async () => {
  const origin = new Origin();
  const tabs = [await tab(origin), await tab(origin), await tab(origin)];
  tabs[0]?.engine.emit("storageLost");
  for (const { incidents } of tabs) {
    await until("it is told", () => incidents.length > 0);
    assert.deepEqual(
      incidents.map(({ type }) => type),
      ["storageLost"],
    );
  }
});

test("a tab that comes later hears what was damaged at the start, each tab once, whoever leads", async () => {
  const origin = new Origin();
  const first = await tab(origin);
  first.engine.emit({ storageDamaged: 3 });
  const second = await tab(origin);
  await until("it is told", () => second.incidents[0]?.error.message.startsWith("3 record(s)"));
  await first.client.close();
  await until("the other leads", () => second.client.status.role === "leader");
  second.engine.emit({ storageDamaged: 3 });
  second.engine.emit("storageLost");
  await until("something else is told", () => second.incidents.at(-1)?.type === "storageLost");
  assert.equal(second.incidents.length, 2);
  assert.equal(first.incidents.length, 1);
});

test("what keeps the next leader from opening the storage is told to all", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const third = await tab(origin);
  let go: (() => void) | undefined;
  second.engine.opening = new Promise<void>((resolve) => (go = resolve));
  await first.client.close();
  await until("the next one opens it", () => second.engine.opened);
  second.engine.emit("upgradeBlocked");
  for (const { incidents } of [second, third]) {
    await until("it is told", () => incidents[0]?.type === "upgradeBlocked");
  }
  go?.();
  await until("it leads", () => second.client.status.role === "leader");
});

test("operations of every tab have the new id once the client has one, and it is noted", async (t) => {
  const noted = stubLocalStorage(t);
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  first.engine.client = "c2";
  first.engine.emit("identityRenewed");
  await until("it is noted", () => noted.get("webwaka:default:client") === "c2");
  for (const { cards } of [first, second]) {
    const operation = cards.put("a", { title: "A" });
    if (cards === second.cards) {
      await adopt(origin, first.engine, 2);
    } else {
      first.engine.emit({ submitted: [first.engine.last("submit"), 1] });
    }
    assert.match((await operation).id, /^c2:/);
  }
});

test("the engine is told of what has nobody left to hear of its refusal, and what it refuses leaves the store", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const puts = ["a", "b"].map((id) => second.cards.put(id, { title: "A" }));
  const closed = Promise.all(puts.map((put) => assert.rejects(put, { code: "closed" })));
  const refused = { code: "too_late", message: "", retryable: false };
  const adopted = async (count: number) => {
    const calls = await until("they are adopted", () => {
      const all = first.engine.called("adopt");
      return all.length === count && all;
    });
    return calls.slice(-2) as [ticket: number, key: string, orphan: boolean][];
  };
  const before = await adopted(2);
  assert.deepEqual(
    before.map(([, , orphan]) => orphan),
    [false, false],
  );
  await second.client.close();
  await closed;
  await untilGone(origin, 1);
  // It cannot hear of this any more.
  before.forEach(([ticket]) => first.engine.emit({ refused: [ticket, refused] }));
  const third = await tab(origin);
  await third.client.close();
  const after = await adopted(4);
  assert.deepEqual(
    after.map(([, key, orphan]) => [key, orphan]),
    before.map(([, key]) => [key, true]),
  );
  first.engine.emit({ refused: [after[0]?.[0], refused] });
  await until("the refused one goes", () => origin.stored.size === 1);
  first.engine.emit({ refused: [after[1]?.[0], { ...refused, code: "outbox_full", retryable: true }] });
  assert.equal(origin.stored.size, 1, "what may be taken later stays");
});

test("an answer that was given while a tab was put aside is found when it comes back", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const operation = second.cards.put("a", { title: "A" });
  const [ticket, key] = await until("the leader adopts", () => first.engine.called("adopt")[0]);
  second.host.leave();
  origin.stored.set(key as string, 7);
  first.engine.emit({ submitted: [ticket, 7] });
  // The leader looks at the store meanwhile, and finds nothing to do.
  const third = await tab(origin);
  assert.equal(third.client.status.role, "follower");
  second.host.join();
  assert.equal((await operation).seq, 7);
});

test("a tab that comes back learns what has become of its operations meanwhile", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  const operations: Operation[] = [];
  for (const seq of [1, 2, 3, 4]) {
    const operation = second.cards.put(`card-${seq}`, { title: "A" });
    await until("it is adopted", () => first.engine.called("adopt").length === seq);
    await adopt(origin, first.engine, seq);
    operations.push(await operation);
  }
  second.host.leave();
  const reason = { code: "forbidden", message: "no" };
  first.engine.rejectedNow = [
    { seq: 2, doc: ["cards", "card-2"], intents: [], schema: 0, reason, at: 1, attempts: 1 },
  ];
  first.engine.emit(
    { settled: [1, ["cards", "card-1"], { merged: { lost: ["title"] } }] },
    { settled: [2, ["cards", "card-2"], { rejected: reason }] },
  );
  second.host.join();
  assert.deepEqual(await operations[0]?.outcome(), { type: "merged", lost: ["title"] });
  assert.deepEqual(await operations[1]?.outcome(), { type: "rejected", ...reason });
  // The others go on.
  first.engine.emit({ settled: [3, ["cards", "card-3"], { accepted: {} }] });
  assert.deepEqual(await operations[2]?.outcome(), { type: "accepted" });
  // A tab that follows remembers what it has heard of, too.
  await first.client.close();
  await until("the other leads", () => second.client.status.role === "leader");
  await assert.rejects(async () => operations[3]?.outcome(), { code: "outcome_unknown" });
});

test("a leader whose store was taken by a tab that no longer has the lock takes it back", async () => {
  const origin = new Origin();
  const [first, second] = [await tab(origin), await tab(origin)];
  first.engine.emit("fenced");
  await until("its engine is stopped", () => first.engine.called("stop").length === 1);
  const operation = second.cards.put("a", { title: "A" });
  await adopt(origin, first.engine, 3);
  assert.equal((await operation).seq, 3);
  assert.deepEqual([first.client.status.role, second.client.status.role], ["leader", "follower"]);
});

test("a leader that wakes from sleep says so to the engine, which no timer of its own need tell", async (t) => {
  const { engine } = await tab(new Origin());
  const wokeBefore = engine.called("wake").length;
  const now = Date.now.bind(Date);
  t.mock.method(Date, "now", () => now() + 3_600_000);
  const end = performance.now() + 12_000;
  while (engine.called("wake").length === wokeBefore && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(engine.called("wake").length, wokeBefore + 1);
});

/** Waits until so many tabs are left. */
function untilGone(origin: Origin, left: number) {
  return until("the tab is gone", async () => {
    const { held = [] } = await origin.locks.query();
    return held.filter(({ name }) => name?.includes(":tab:")).length === left;
  });
}

/** Node has no such storage, or warns of it. */
function stubLocalStorage(t: TestContext): Map<string, string> {
  const kept = new Map<string, string>();
  const before = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
  const value = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, text: string) => void kept.set(key, text),
  };
  Object.defineProperty(globalThis, "localStorage", { configurable: true, value });
  t.after(() => {
    if (before) {
      Object.defineProperty(globalThis, "localStorage", before);
    } else {
      Reflect.deleteProperty(globalThis, "localStorage");
    }
  });
  return kept;
}
