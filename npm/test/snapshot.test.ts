import assert from "node:assert/strict";
import test from "node:test";
import { share } from "../src/snapshot.js";

test("equal parts of successive snapshots are the same objects", () => {
  const first = share(undefined, { a: { x: [1, 2] }, b: { y: null } });
  const second = share(first, { a: { x: [1, 2] }, b: { y: 1 } });
  assert.notEqual(second, first);
  assert.equal(second.a, first.a);
  assert.notEqual(second.b, first.b);
  assert.equal(share(second, { a: { x: [1, 2] }, b: { y: 1 } }), second);
});

test("a snapshot is frozen through and through", () => {
  const snapshot = share(undefined, { a: { x: [{ y: 1 }] } });
  assert.ok([snapshot, snapshot.a, snapshot.a.x, snapshot.a.x[0]].every(Object.isFrozen));
});

test("things that only look alike are not shared", () => {
  const pairs: [unknown, unknown][] = [
    [{ a: undefined }, {}],
    [{ a: 1 }, { b: 1 }],
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: 1, b: 2 }, { a: 1 }],
    [[], {}],
    [{ 0: 1 }, [1]],
    [[1, 2], [1]],
    [{ a: null }, { a: {} }],
    [{}, { toString: 1 }],
    [{ a: "1" }, { a: 1 }],
  ];
  for (const [before, after] of pairs) {
    const copy = structuredClone(after);
    assert.deepEqual(share(before, after), copy);
    assert.notEqual(share(before, structuredClone(after)), before);
  }
});

test("a key __proto__ from elsewhere stays an ordinary key", () => {
  const before = share(
    undefined,
    JSON.parse('{"a":{"__proto__":{"admin":true}},"n":1}') as { a: object; n: number },
  );
  const after = share(
    before,
    JSON.parse('{"a":{"__proto__":{"admin":true}},"n":2}') as { a: object; n: number },
  );
  assert.equal(after.a, before.a);
  assert.equal(Object.getPrototypeOf(after.a), Object.prototype);
  assert.equal((after.a as { admin?: boolean }).admin, undefined);
  assert.equal(JSON.stringify(after), '{"a":{"__proto__":{"admin":true}},"n":2}');
});
