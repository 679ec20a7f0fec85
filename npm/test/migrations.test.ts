import assert from "node:assert/strict";
import test from "node:test";
import { openClient } from "../src/client.js";
import type { ClientOptions, Migration, Migrations, OutdatedOperation } from "../src/types.js";
import { ScriptedEngine } from "./scripted_engine.js";

const OLD = { doc: ["cards", "a"], schema: 1, intents: [{ set: { title: "A" } }] };

async function at(schema: number | undefined, migrations?: Migrations): Promise<ScriptedEngine> {
  const engine = new ScriptedEngine();
  await openClient(engine.open, {
    url: "http://127.0.0.1:8787",
    token: "t0",
    collections: { cards: "fieldLevel" },
    ...(schema !== undefined && { schema }),
    ...(migrations && { migrations }),
  });
  return engine;
}

function ask(engine: ScriptedEngine, operation: object = OLD): unknown {
  assert.ok(engine.rules);
  return JSON.parse(engine.rules(JSON.stringify({ migrate: operation })));
}

test("the engine is told the version, and each step asks the migration that leads to it", async () => {
  const seen: OutdatedOperation[] = [];
  const renamed: Migration = (operation) => {
    seen.push({ ...operation });
    return { ...operation, intents: [{ set: { name: "A" } }] };
  };
  const engine = await at(3, { 2: renamed, 3: () => null });
  assert.equal(engine.options["schema"], 3);
  assert.deepEqual(ask(engine), { intents: [{ set: { name: "A" } }] });
  assert.deepEqual(seen, [{ collection: "cards", id: "a", schema: 1, intents: OLD.intents }]);
  assert.deepEqual(ask(engine, { ...OLD, schema: 2 }), { drop: {} });
  assert.equal((await at(undefined)).options["schema"], 0);
});

test("an operation may be changed in place", async () => {
  const inPlace: Migration = (operation) => {
    for (const intent of operation.intents) {
      if ("set" in intent) {
        intent.set["name"] = intent.set["title"];
        delete intent.set["title"];
      }
    }
    return operation;
  };
  assert.deepEqual(ask(await at(2, { 2: inPlace })), { intents: [{ set: { name: "A" } }] });
});

const NONSENSE: [what: string, migration: unknown, message: RegExp][] = [
  ["throws", () => assert.fail("a fault of the application's"), /a fault/],
  ["gives nothing", () => undefined, /plain object/],
  ["gives no object", () => "renamed", /plain object/],
  ["gives a promise", async () => OLD, /plain object/],
  ["gives what is not JSON", () => ({ intents: [{ set: { at: new Date() } }] }), /plain data/],
  ["moves to another document", (operation: OutdatedOperation) => ({ ...operation, id: "b" }), /stays on/],
  ["moves to another collection", (old: OutdatedOperation) => ({ ...old, collection: "c" }), /stays on/],
];

for (const [what, migration, message] of NONSENSE) {
  test(`a migration that ${what} is refused in words, which the engine keeps with the operation`, async () => {
    const engine = await at(2, { 2: migration as Migration });
    assert.throws(() => ask(engine), { message });
  });
}

test("without the migration of a step, and without any, that is said", async () => {
  const engine = await at(3, { 3: (operation) => operation });
  assert.throws(() => ask(engine), /no migration to 2/);
  assert.equal((await at(3)).rules, undefined);
});

test("operations and their edits are written for the version of the client", async () => {
  const engine = new ScriptedEngine();
  const options: ClientOptions<{ cards: "fieldLevel" }> = {
    url: "http://127.0.0.1:8787",
    token: "t0",
    collections: { cards: "fieldLevel" },
    schema: 4,
  };
  const client = await openClient(engine.open, options);
  const put = client.collection<{ title: string }>("cards").put("a", { title: "A" });
  engine.emit({ submitted: [1, 11] });
  void (await put).edit({ update: { title: "B" } });
  assert.deepEqual([engine.last("submit", 3), engine.last("edit", 2)], [4, 4]);
});

for (const [what, migrations] of Object.entries({
  "by another name than that of a version": { one: () => null },
  "from before any version": { 0: () => null },
  "beyond the version of the client": { 3: () => null },
  "other than functions": { 2: {} },
})) {
  test(`migrations ${what} are refused`, async () => {
    await assert.rejects(at(2, migrations as unknown as Migrations), { code: "invalid_options" });
  });
}
