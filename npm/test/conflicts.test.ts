import assert from "node:assert/strict";
import test from "node:test";
import { openClient } from "../src/client.js";
import type { Collections, Conflict, Merge } from "../src/types.js";
import { ScriptedEngine } from "./scripted_engine.js";
import { settled, start } from "./setup.js";

const WIRE = {
  seq: 4,
  doc: ["docs", "a"],
  fields: ["text"],
  base: { text: "one" },
  mine: { text: "two", done: true },
  theirs: { text: "three" },
  mineAt: 1_790_000_000_000,
  by: { subject: "ben", at: 1_790_000_000_500 },
};
const { seq: _, mineAt: __, ...QUESTION } = WIRE;
const CONFLICT = {
  collection: "docs",
  id: "a",
  fields: ["text"],
  base: { text: "one" },
  mine: { text: "two", done: true },
  theirs: { text: "three" },
  by: { subject: "ben", at: 1_790_000_000_500 },
};

async function merging(merge: Merge): Promise<ScriptedEngine> {
  const engine = new ScriptedEngine();
  const collections = { docs: { strategy: "merge", merge }, cards: "fieldLevel" } as const;
  await openClient(engine.open, { url: "http://127.0.0.1:8787", token: "t0", collections });
  return engine;
}

function answer(engine: ScriptedEngine, question: object = QUESTION): unknown {
  assert.ok(engine.rules);
  return JSON.parse(engine.rules(JSON.stringify({ resolve: question })));
}

test("a merge function gets both sides, frozen, and decides", async () => {
  const seen: Conflict[] = [];
  const decisions = ["mine", "theirs", { text: "two and three" }, undefined] as const;
  const engine = await merging((conflict) => decisions[seen.push(conflict) - 1]);
  assert.deepEqual(engine.options["collections"], [
    ["docs", "merge"],
    ["cards", "fieldLevel"],
  ]);
  assert.deepEqual(
    decisions.map(() => answer(engine)),
    [{ mine: {} }, { theirs: {} }, { merged: { text: "two and three" } }, { defer: {} }],
  );
  assert.deepEqual(seen[0], CONFLICT);
  assert.ok(Object.isFrozen(seen[0]?.mine));
});

test("what a side does not have is missing, and a conflict of another collection is left to a person", async () => {
  const seen: Conflict[] = [];
  const engine = await merging((conflict) => void seen.push(conflict));
  answer(engine, { doc: ["docs", "a"], fields: [], theirs: {} });
  assert.deepEqual(seen, [{ collection: "docs", id: "a", fields: [], theirs: {} }]);
  assert.deepEqual(answer(engine, { ...QUESTION, doc: ["cards", "a"] }), { defer: {} });
});

test("a merge function that throws, or gives what is no document, does so in the engine's sight", async () => {
  const trouble = new Error("no idea");
  const throws = await merging(() => {
    throw trouble;
  });
  assert.throws(() => answer(throws), trouble);
  for (const bad of [3, "both", null, [], { at: new Date() }, Promise.resolve("mine")]) {
    const engine = await merging(() => bad as unknown as undefined);
    assert.throws(() => answer(engine), { code: "invalid_value" });
  }
});

test("without a function there is nobody to ask, and half a definition is refused", async () => {
  const { engine } = await start();
  assert.equal(engine.rules, undefined);
  for (const bad of [
    { strategy: "merge" },
    { strategy: "manual", merge: () => "mine" },
    { merge: () => "mine" },
  ]) {
    const collections = { docs: bad } as unknown as Collections;
    const opening = openClient(engine.open, { url: "http://127.0.0.1:8787", token: "t0", collections });
    await assert.rejects(opening, { code: "invalid_options" });
  }
});

test("conflicts are listed with both sides, and the list is the same until something changes", async () => {
  const { client, engine } = await start();
  let told = 0;
  client.subscribe(() => told++);
  engine.conflictsNow = [
    { ...WIRE, problem: "no idea" },
    { ...WIRE, seq: 5 },
  ];
  engine.emit("conflictsChanged");
  await settled();
  assert.equal(told, 1);
  const conflicts = client.conflicts();
  const madeAt = WIRE.mineAt;
  assert.deepEqual(conflicts, [
    { ...CONFLICT, seq: 4, madeAt, problem: "no idea" },
    { ...CONFLICT, seq: 5, madeAt },
  ]);
  assert.equal(client.conflicts(), conflicts);
  assert.ok(Object.isFrozen(conflicts));
});

test("a decision resolves once it is durable, with the operation that goes on", async () => {
  const { client, engine } = await start();
  const decided = [client.resolve(4, "mine"), client.resolve(5, "theirs"), client.resolve(6, { text: "x" })];
  await settled();
  assert.deepEqual(engine.called("resolve"), [
    [1, 4, '{"mine":{}}'],
    [2, 5, '{"theirs":{}}'],
    [3, 6, '{"merged":{"text":"x"}}'],
  ]);
  engine.emit({ submitted: [1, 4] }, { submitted: [2, 5] });
  engine.emit({ refused: [3, { code: "not_conflicted", message: "the operation is in no conflict" }] });
  assert.equal((await decided[0])?.seq, 4);
  await decided[1];
  await assert.rejects(decided[2] as Promise<unknown>, { code: "not_conflicted", retryable: false });
  await assert.rejects(client.resolve(4, "both" as unknown as "mine"), { code: "invalid_value" });
});
