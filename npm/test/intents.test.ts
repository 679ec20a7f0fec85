import assert from "node:assert/strict";
import test from "node:test";
import { RealtimeError } from "../src/errors.js";
import { add, bury, increment, put, remove, update } from "../src/intents.js";

test("a put carries exactly the fields given", () => {
  assert.equal(put({ a: 1, b: [true, null, { c: "x" }] }), '[{"put":{"a":1,"b":[true,null,{"c":"x"}]}}]');
  assert.equal(put({ a: 1, gone: undefined }), '[{"put":{"a":1}}]');
  assert.equal(put({}), '[{"put":{}}]');
});

test("a patch sets what has a value and unsets what is undefined", () => {
  assert.equal(update({ a: 1 }), '[{"set":{"a":1}}]');
  assert.equal(update({ a: undefined, b: undefined }), '[{"unset":["a","b"]}]');
  assert.equal(update({ a: null, b: undefined }), '[{"set":{"a":null}},{"unset":["b"]}]');
});

test("a delete names no field", () => {
  assert.equal(bury(), '[{"delete":{}}]');
});

test("counts and changes of sets name their fields, and only what they can hold", () => {
  assert.equal(increment({ likes: 2, stock: -1 }), '[{"increment":{"likes":2,"stock":-1}}]');
  assert.equal(add({ tags: ["x", { id: 1 }] }), '[{"add":{"tags":["x",{"id":1}]}}]');
  assert.equal(remove({ tags: [] }), '[{"remove":{"tags":[]}}]');
  for (const bad of [{}, { likes: 0.5 }, { likes: "1" }, { likes: undefined }, { likes: 2 ** 53 }]) {
    assert.throws(() => increment(bad), { code: "invalid_value" });
  }
  for (const bad of [{}, { tags: "x" }, { tags: [1n] }, { tags: [undefined] }]) {
    assert.throws(() => add(bad), { code: "invalid_value" });
    assert.throws(() => remove(bad), { code: "invalid_value" });
  }
});

test("plain objects of no prototype or of another realm are plain", async () => {
  const { runInNewContext } = await import("node:vm");
  assert.equal(put(Object.assign(Object.create(null), { a: 1 })), '[{"put":{"a":1}}]');
  assert.equal(put(runInNewContext("({ a: [1] })")), '[{"put":{"a":[1]}}]');
});

const cycle: Record<string, unknown> = {};
cycle.self = cycle;
const BAD: [name: string, value: unknown][] = [
  ["nothing", undefined],
  ["null", null],
  ["text", "text"],
  ["a list", [1]],
  ["a function as a field", { f: () => 1 }],
  ["a symbol as a field", { s: Symbol("s") }],
  ["a BigInt", { n: 1n }],
  ["a cycle", cycle],
  ["NaN", { n: NaN }],
  ["infinity", { n: { m: [-Infinity] } }],
  ["a date", { at: new Date(0) }],
  ["a map", { m: new Map() }],
  ["bytes", { b: new Uint8Array(2) }],
  ["an instance of a class", { u: new (class User {})() }],
  ["a document that is an instance", new (class User {})()],
  ["an object with toJSON", { j: { toJSON: () => 1 } }],
  ["an undefined element", { l: [undefined] }],
  ["a hole", { l: new Array<number>(2) }],
  ["__proto__ as a field", JSON.parse('{"__proto__": 1}')],
  ["__proto__ deep inside", { a: [JSON.parse('{"__proto__": {"admin": true}}')] }],
  ["constructor as a field", { constructor: 1 }],
  ["prototype deep inside", { a: { prototype: {} } }],
  [
    "a getter that throws",
    {
      get a(): never {
        throw new Error("no");
      },
    },
  ],
];
for (const [name, value] of BAD) {
  test(`refused as a document: ${name}`, () => {
    assert.throws(
      () => put(value),
      (error) => error instanceof RealtimeError && error.code === "invalid_value" && !error.retryable,
    );
  });
}

test("a patch cannot unset a reserved name, nor be empty", () => {
  const reserved = JSON.parse('{"__proto__": 1}') as Record<string, unknown>;
  Object.defineProperty(reserved, "__proto__", { value: undefined, enumerable: true });
  for (const patch of [reserved, { constructor: undefined }, {}]) {
    assert.throws(() => update(patch), { code: "invalid_value" });
  }
});

test("a value nested beyond the stack is refused, not a crash", () => {
  let deep: unknown = 1;
  for (let level = 0; level < 100_000; level++) {
    deep = [deep];
  }
  assert.throws(() => put({ deep }), { code: "invalid_value" });
});
