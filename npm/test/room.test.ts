import assert from "node:assert/strict";
import test from "node:test";
import { settled, start } from "./setup.js";

const person = (user: string, state: unknown) => ({ user, me: false, state, devices: [{ id: 1, state }] });
const seen = (...people: object[]) => ({ people: people as never[], loaded: true, messages: [], dropped: 0 });

test("a room is opened when somebody first has to do with it, and left when it is closed", async () => {
  const { client, engine } = await start();
  const room = client.room<{ x: number }>("board-7", { interval: 100 });
  assert.deepEqual(engine.called("openQuery"), []);
  room.presence.enter({ x: 1 });
  const name = engine.last("openQuery");
  assert.deepEqual(engine.called("openQuery"), [[name, { room: { room: "board-7", interval: 100 } }]]);
  room.presence.update({ x: 2 });
  room.presence.leave();
  assert.deepEqual(engine.called("present"), [
    [name, '{"x":1}'],
    [name, '{"x":2}'],
    [name, undefined],
  ]);
  room.close();
  assert.deepEqual(engine.called("closeQuery"), [[name]]);
});

test("who is there is a snapshot that is the same until something changes", async () => {
  const { client, engine } = await start();
  const { presence } = client.room<number>("board-7");
  let told = 0;
  presence.subscribe(() => told++);
  const name = engine.last("openQuery");
  assert.deepEqual([presence.loaded, presence.getSnapshot()], [false, []]);
  engine.views.set(name, seen(person("ada", 1), person("bob", 2)));
  engine.emit({ viewChanged: name });
  await settled();
  assert.equal(told, 1);
  const before = presence.getSnapshot();
  assert.deepEqual([presence.loaded, before.map(({ user }) => user)], [true, ["ada", "bob"]]);
  engine.views.set(name, seen(person("ada", 1), person("bob", 3)));
  engine.emit({ viewChanged: name });
  await settled();
  assert.equal(presence.getSnapshot()[0], before[0]);
  assert.notEqual(presence.getSnapshot()[1], before[1]);
  assert.equal(presence.getSnapshot(), presence.getSnapshot());
});

test("what is said is answered with how many have got it, or with why nobody has", async () => {
  const { client, engine } = await start();
  const first = client.room("board-7").send({ wave: true });
  assert.deepEqual(engine.called("say").at(-1), [engine.last("say"), '{"room":"board-7"}', '{"wave":true}']);
  engine.emit({ sent: [engine.last("say"), 3] });
  assert.equal(await first, 3);
  const second = client.user("bob").send("lunch?");
  const refusal = { code: "not_connected", message: "no", retryable: true };
  engine.emit({ unsent: [engine.last("say"), refusal] });
  await assert.rejects(second, { code: "not_connected", retryable: true });
  const third = client.user("bob").send("lunch?");
  engine.emit("reattached");
  await assert.rejects(third, { code: "not_connected" });
});

test("messages come one by one, and each once whoever shows it", async () => {
  const { client, engine } = await start();
  const messages = client.room<unknown, string>("board-7").messages();
  const name = engine.last("openQuery");
  assert.deepEqual(engine.called("openQuery").at(-1)?.[1], { room: { room: "board-7", listen: true } });
  const heard = (number: number) => ({ number, from: "ada", data: `m${number}` });
  const show = (dropped: number, ...numbers: number[]) => {
    engine.views.set(name, { people: [], loaded: false, messages: numbers.map(heard), dropped });
    engine.emit({ viewChanged: name });
  };
  const first = messages.next();
  show(2, 7, 8);
  assert.deepEqual((await first).value, { from: "ada", data: "m7", dropped: 2 });
  assert.deepEqual((await messages.next()).value, { from: "ada", data: "m8", dropped: 0 });
  assert.deepEqual(engine.called("taken"), [
    [name, "7"],
    [name, "8"],
  ]);
  const third = messages.next();
  show(0, 8, 9);
  assert.equal((await third).value?.data, "m9");
  await messages.return?.();
  assert.equal(engine.last("closeQuery"), name);
});

test("what no room, state or message can be is refused at once", async () => {
  const { client, engine } = await start();
  for (const name of ["", "a//b", "..", "__ds/x", "a b", "x".repeat(129)]) {
    assert.throws(() => client.room(name), { code: "invalid_value" }, name);
  }
  assert.throws(() => client.room("a", { interval: 1 }), { code: "invalid_value" });
  const room = client.room<string, string>("a");
  assert.throws(() => room.presence.enter("ä".repeat(2048)), { code: "too_large" });
  await assert.rejects(room.send("x".repeat(16383)), { code: "too_large" });
  assert.deepEqual([engine.called("say"), engine.called("present")], [[], []]);
});

test("a person's inbox is a topic with a name of its own", async () => {
  const { client } = await start();
  for (const [id, name] of [
    ["ada@shop.example", "inbox/ada@shop.example"],
    ["a/b", "inbox/a~2fb"],
    [".ä~", "inbox/~2e~c3~a4~7e"],
  ] as const) {
    assert.equal(client.user(id).inbox().name, name);
  }
});
