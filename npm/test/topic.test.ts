import assert from "node:assert/strict";
import test from "node:test";
import type { TopicEvent } from "../src/types.js";
import { settled, start } from "./setup.js";

const at = (offset: number) => `00000000000000a7_${offset.toString(16).padStart(16, "0")}`;
const item = (offset: number) => ({ position: at(offset), data: { n: offset } });

test("a reader is opened as it was asked for, and closed with its loop", async () => {
  const { client, engine } = await start();
  const events = client.topic("orders/eu").subscribe({ from: "earliest", durable: "feed" });
  assert.deepEqual(engine.called("openQuery").at(-1)?.[1], {
    topic: { topic: "orders/eu", start: { earliest: {} }, durable: "feed" },
  });
  await events.return?.();
  assert.equal(engine.last("closeQuery"), engine.last("openQuery"));
  for (const [from, expected] of [
    [undefined, { latest: {} }],
    [new Date(1_790_000_000_000), { time: 1_790_000_000_000 }],
    [{ after: at(7) }, { after: at(7) }],
  ] as const) {
    client.topic("t").subscribe({ ...(from && { from }) });
    const [, query] = engine.called("openQuery").at(-1) as [number, { topic: { start: object } }];
    assert.deepEqual(query.topic.start, expected);
  }
});

test("names and places that make no sense are refused at once", async () => {
  const { client } = await start();
  for (const name of ["", "a//b", "../x", "__ds/x", "a b", "ä", "x".repeat(257)]) {
    assert.throws(() => client.topic(name), { code: "invalid_value" }, name);
  }
  assert.throws(() => client.topic("t").subscribe({ from: { after: "7" } }), { code: "invalid_value" });
  assert.throws(() => client.topic("t").subscribe({ from: new Date(NaN) }), { code: "invalid_value" });
});

test("each event is given once, and counts as dealt with when the next is asked for", async () => {
  const { client, engine } = await start();
  const events = client.topic("t").subscribe({ durable: "feed" });
  const name = engine.last("openQuery");
  const first = events.next();
  engine.views.set(name, { items: [item(1), item(2)], position: at(2) });
  engine.emit({ viewChanged: name });
  assert.deepEqual(await first, { done: false, value: item(1) });
  assert.deepEqual(engine.called("taken"), []);
  assert.deepEqual(await events.next(), { done: false, value: item(2) });
  assert.deepEqual(engine.called("taken"), [[name, at(1)]]);
  const third = events.next();
  assert.deepEqual(engine.called("taken").at(-1), [name, at(2)]);
  // An engine that was started again shows what was not taken when it was asked.
  engine.views.set(name, { items: [item(2), item(3)], position: at(3) });
  engine.emit({ viewChanged: name });
  assert.deepEqual(await third, { done: false, value: item(3) });
});

test("events that cannot be given are told in their place", async () => {
  const { client, engine } = await start();
  const events = client.topic<{ n: number }>("t").subscribe();
  const name = engine.last("openQuery");
  const gap: TopicEvent = { position: at(4), gap: { missed: 3 } };
  engine.views.set(name, { items: [gap, item(5)], position: at(5) });
  engine.emit({ viewChanged: name });
  const told = [(await events.next()).value, (await events.next()).value];
  assert.deepEqual(
    told.map((event) => event?.gap?.missed ?? event?.data?.n),
    [3, 5],
  );
});

test("of what another engine counts as missing only that is told which this reader does not have", async () => {
  const { client, engine } = await start();
  const events = client.topic<{ n: number }>("t").subscribe();
  const name = engine.last("openQuery");
  engine.views.set(name, { items: [item(1), item(2), item(3)], position: at(3) });
  engine.emit({ viewChanged: name });
  for (let n = 1; n <= 3; n++) assert.equal((await events.next()).value?.data?.n, n);
  const next = events.next();
  // It has begun after the first.
  engine.views.set(name, { items: [{ position: at(8), gap: { missed: 7 } }, item(9)], position: at(9) });
  engine.emit({ viewChanged: name });
  assert.deepEqual((await next).value, { position: at(8), gap: { missed: 5 } });
});

test("who begins with what is yet to come keeps the place where it stands", async () => {
  const { client, engine } = await start();
  const events = client.topic("t").subscribe();
  const name = engine.last("openQuery");
  void events.next();
  engine.views.set(name, { items: [], position: at(9) });
  engine.emit({ viewChanged: name });
  await settled();
  assert.deepEqual(engine.called("taken"), [[name, at(9)]]);
});

test("a topic that is closed ends the loop, and one that cannot be read rejects with the reason", async () => {
  const { client, engine } = await start();
  const closed = client.topic("t").subscribe();
  engine.views.set(engine.last("openQuery"), { items: [item(1)], position: at(1), over: {} });
  assert.equal((await closed.next()).done, false);
  engine.views.set(engine.last("openQuery"), { items: [], position: at(1), over: {} });
  engine.emit({ viewChanged: engine.last("openQuery") });
  assert.equal((await closed.next()).done, true);

  const missing = client.topic("t").subscribe();
  const reason = { code: "no_such_topic", message: "no such topic" };
  engine.views.set(engine.last("openQuery"), { items: [], over: { reason } });
  await assert.rejects(missing.next(), reason);
  assert.equal((await missing.next()).done, true);
});
