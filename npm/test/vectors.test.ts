/** The golden vectors that the Rust side is held to as well: see `sdk-core/tests/vectors.rs`. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { RealtimeError } from "../src/errors.js";
import { add, bury, increment, put, remove, update } from "../src/intents.js";
import { outcome } from "../src/operation.js";
import type { Intent } from "../src/schema.js";
import type { WireOutcome } from "../src/seam.js";

interface Vector {
  name: string;
  direction?: "client" | "server" | "http";
  frame?: unknown;
  body?: unknown;
  text?: string;
  error?: string;
  codes?: { code: string; status: number; retry: "never" | "later" | "reauthenticate" }[];
}

const FOLDER = join(process.cwd(), "../tests/vectors");
const VECTORS = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".json"))
  .map((name) => ({ file: name, vector: JSON.parse(readFileSync(join(FOLDER, name), "utf8")) as Vector }));
const CODES = VECTORS.flatMap(({ vector }) => vector.codes ?? []);
/** Codes are types here, which are gone when this runs. */
const KNOWN = readFileSync(join(process.cwd(), "src/errors.ts"), "utf8");

/** Every object that is the value of a key of this name, wherever it is. */
function* found(name: string, value: unknown): Generator<unknown> {
  if (typeof value === "object" && value !== null) {
    for (const [key, part] of Object.entries(value)) {
      if (key === name) {
        yield part;
      }
      yield* found(name, part);
    }
  }
}

function all<T>(name: string): T[] {
  return VECTORS.flatMap(({ vector }) => [...found(name, vector.frame ?? vector.body)] as T[]);
}

for (const { file, vector } of VECTORS) {
  test(`vector ${file}: ${vector.name}`, () => {
    const message = vector.frame ?? vector.body;
    if (message !== undefined) {
      assert.deepEqual(JSON.parse(JSON.stringify(message)), message);
      JSON.stringify(message, (key, value: unknown) => {
        assert.ok(typeof value !== "number" || !Number.isInteger(value) || Number.isSafeInteger(value), key);
        return value;
      });
    }
    if (vector.error !== undefined) {
      assert.ok(KNOWN.includes(`"${vector.error}"`), vector.error);
    }
  });
}

/** The text of one intent, as the facade writes it. */
function written(intent: Intent): string {
  if ("put" in intent) return put(intent.put);
  if ("delete" in intent) return bury();
  if ("increment" in intent) return increment(intent.increment);
  if ("add" in intent) return add(intent.add);
  if ("remove" in intent) return remove(intent.remove);
  return update(
    "set" in intent ? intent.set : Object.fromEntries(intent.unset.map((name) => [name, undefined])),
  );
}

test("the facade writes the intents that the vectors hold", () => {
  const kinds = new Set<string>();
  for (const intent of all<Intent[]>("intents").flat()) {
    assert.deepEqual(JSON.parse(written(intent)), [intent]);
    kinds.add(Object.keys(intent)[0] ?? "");
  }
  assert.deepEqual([...kinds].sort(), ["add", "delete", "increment", "put", "remove", "set", "unset"]);
});

test("the facade reads every outcome that the vectors hold, also with fields of a newer version", () => {
  const read = new Set<string>();
  for (const wire of all<WireOutcome>("outcome")) {
    const told = outcome(structuredClone(wire));
    read.add(told.type);
    const [[kind, content]] = Object.entries(wire) as [[string, object]];
    assert.deepEqual(told, { type: kind, ...content });
    assert.deepEqual(
      outcome({ [kind]: { ...content, addedInVersionTwo: 1 } } as unknown as WireOutcome),
      told,
    );
  }
  assert.deepEqual([...read].sort(), [
    "accepted",
    "conflicted",
    "merged",
    "published",
    "rejected",
    "superseded",
  ]);
});

test("every code of the server is known here, with the same advice", () => {
  assert.ok(CODES.length > 0);
  for (const { code, retry } of CODES) {
    assert.ok(KNOWN.includes(`"${code}"`), code);
    assert.equal(new RealtimeError(code, "").retryable, retry !== "never", code);
  }
});

test("a code of a newer server is permanent, whatever its name", () => {
  for (const code of ["added_in_version_two", "constructor", "__proto__"]) {
    assert.equal(new RealtimeError(code, "").retryable, false);
  }
});
