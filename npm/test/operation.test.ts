import assert from "node:assert/strict";
import test from "node:test";
import type { Edit } from "../src/types.js";
import { type Card, settled, start } from "./setup.js";

const REJECTED = {
  seq: 7,
  doc: ["cards", "a"],
  intents: [{ set: { title: "B" } }],
  schema: 2,
  reason: { code: "document_too_large", message: "too large" },
  at: 1_790_000_000_000,
  attempts: 2,
};

test("what is to come after other operations names them", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  const [one, two] = [cards.put("a", { title: "A" }), cards.put("b", { title: "B" })];
  engine.emit({ submitted: [1, 11] }, { submitted: [2, 12] });
  void cards.update("c", { title: "C" }, { after: await one });
  void cards.delete("d", { after: [await one, await two] });
  void cards.put("e", { title: "E" }, { after: [] });
  await settled();
  assert.deepEqual(
    engine.called("submit").map((call) => call[5]),
    [undefined, undefined, "[11]", "[11,12]", undefined],
  );
});

test("an operation can be edited and withdrawn while the engine allows it", async () => {
  const { client, engine } = await start();
  const put = client.collection<Card>("cards").put("a", { title: "A" });
  engine.emit({ submitted: [1, 11] });
  const operation = await put;
  const edited = operation.edit({ update: { title: "B", done: undefined } });
  assert.deepEqual(engine.called("edit"), [[2, 11, 0, '[{"set":{"title":"B"}},{"unset":["done"]}]']]);
  engine.emit({ submitted: [2, 11] });
  assert.equal(await edited, operation, "it is the same operation still");

  const outcome = operation.outcome();
  const aborted = operation.abort();
  assert.deepEqual(engine.called("abort"), [[3, 11]]);
  const aside = { rejected: { code: "aborted", message: "withdrawn" } };
  engine.emit({ submitted: [3, 11] }, { settled: [11, ["cards", "a"], aside] });
  await aborted;
  assert.deepEqual(await outcome, { type: "rejected", code: "aborted", message: "withdrawn" });

  const late = operation.edit({ delete: true });
  engine.emit({ refused: [4, { code: "too_late", message: "it may have been sent" }] });
  await assert.rejects(late, { code: "too_late", retryable: false });
});

test("a dead letter tells when and how often, and can be tried again or mended after a reload", async () => {
  const { client, engine } = await start();
  engine.rejectedNow = [REJECTED];
  const [letter] = client.rejected();
  assert.deepEqual([letter?.at, letter?.attempts, letter?.schema], [REJECTED.at, 2, 2]);
  const operation = client.operation(7);
  assert.equal((await operation.outcome()).type, "rejected");
  const again = operation.retry();
  assert.deepEqual(engine.called("retry"), [[1, 7]]);
  engine.emit({ submitted: [1, 9] });
  assert.equal((await again).seq, 9);
  assert.equal(client.operation(9), await again);
  const mended = operation.edit({ increment: { likes: 1 } });
  assert.deepEqual(engine.called("edit"), [[2, 7, 0, '[{"increment":{"likes":1}}]']]);
  engine.emit({ submitted: [2, 10] });
  assert.equal((await mended).seq, 10);
});

test("an operation that was saved before this page was loaded tells its outcome, too", async () => {
  const { client, engine } = await start();
  engine.unsettledNow = [{ seq: 3, doc: ["cards", "a"], intents: [{ delete: {} }] }];
  const operation = client.operation(3);
  engine.emit({ settled: [3, ["cards", "a"], { superseded: {} }] });
  assert.deepEqual(await operation.outcome(), { type: "superseded" });
  engine.unsettledNow = [];
  assert.throws(() => client.operation(3), { code: "invalid_value" });
});

test("a change that is not one never reaches the engine", async () => {
  const { client, engine } = await start();
  engine.rejectedNow = [REJECTED];
  const operation = client.operation(7);
  for (const bad of [{}, { erase: true }, { put: {}, delete: true }, { update: {} }, { toString: 1 }]) {
    await assert.rejects(operation.edit(bad as unknown as Edit), { code: "invalid_value" });
  }
  assert.deepEqual(engine.called("edit"), []);
});
