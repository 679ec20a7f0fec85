import assert from "node:assert/strict";
import test from "node:test";
import { start } from "./setup.js";

test("an event is handed over as JSON, and its handle hears where it is", async () => {
  const { client, engine } = await start();
  const topic = client.topic("orders/eu");
  const published = topic.publish({ type: "placed", subject: "7", data: { n: 1 } }, { coalesce: "7" });
  await Promise.resolve();
  const [ticket, name, key, , text] = engine.called("submit").at(-1) as [number, ...string[]];
  assert.deepEqual([name, key], ["orders/eu", "7"]);
  const { id, time, ...rest } = JSON.parse(text ?? "") as Record<string, string>;
  assert.match(`${id} ${time}`, /^[0-9a-f]{32} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    specversion: "1.0",
    source: "urn:webwaka:client:c1",
    type: "placed",
    subject: "7",
    data: { n: 1 },
  });
  engine.emit({ submitted: [ticket, 4] });
  const operation = await published;
  assert.equal(operation.seq, 4);
  const position = "00000000000000a7_0000000000000001";
  engine.emit({ settled: [4, null, { published: { position } }] });
  assert.deepEqual(await operation.outcome(), { type: "published", position });
  const whole = {
    specversion: "1.0",
    id: "1",
    source: "/",
    time: "2026-01-01T00:00:00Z",
    type: "t",
    tries: 2,
  };
  const after = topic.publish({ ...whole, subject: undefined }, { after: operation });
  await Promise.resolve();
  const [again, ...asked] = engine.called("submit").at(-1) as [number, ...string[]];
  assert.deepEqual(
    [...asked.slice(0, 2), JSON.parse(asked[3] ?? ""), asked[4]],
    ["orders/eu", "", whole, "[4]"],
  );
  engine.emit({ refused: [again, { code: "outbox_full", message: "", retryable: true }] });
  await assert.rejects(after, { code: "outbox_full", retryable: true });
});

test("what is no plain data is no event", async () => {
  const { client, engine } = await start();
  const t = { type: "t" };
  const bads = [1, [], new Date(), { ...t, data: 1n }, { ...t, data: NaN }, {}, { type: "" }, { type: 1 }];
  const attributes = [
    { Upper: "x" },
    { subject: "" },
    { id: 7 },
    { nested: {} },
    { part: 1.5 },
    { big: 2 ** 31 },
    { specversion: "0.3" },
    { datacontenttype: 1 },
    { data_base64: 1 },
    { data: 1, data_base64: "AA==" },
    { databig: {} },
    ...["", "soon", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00"].map(
      (time) => ({ time }),
    ),
    ...["2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00Z "].map((time) => ({
      time,
    })),
    Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`a${n}`, 1])),
  ];
  for (const bad of [...bads, ...attributes.map((attribute) => ({ ...t, ...attribute }))]) {
    const publish = client.topic("t").publish(bad as unknown as { type: string });
    await assert.rejects(publish, { code: "invalid_value" });
  }
  const ended = client.topic("t").publish({ type: "t" }, { signal: AbortSignal.abort() });
  await assert.rejects(ended, { name: "AbortError" });
  assert.deepEqual(engine.called("submit"), []);
});

test("refused events are told apart from refused edits, and can be published anew", async () => {
  const { client, engine } = await start();
  const reason = { code: "topic_closed", message: "closed" };
  const event = { specversion: "1.0", type: "t" };
  const edit = { seq: 1, doc: ["cards", "a"], intents: [], schema: 0, reason, at: 5, attempts: 1 };
  engine.rejectedNow = [edit, { seq: 2, topic: "t", event, reason, at: 6, attempts: 2 }];
  engine.emit("statusChanged");
  assert.deepEqual(
    client.rejected().map(({ seq }) => seq),
    [1],
  );
  const { code, message } = reason;
  assert.deepEqual(client.rejectedEvents(), [
    { seq: 2, topic: "t", event, at: 6, attempts: 2, code, message },
  ]);
  const operation = client.operation(2);
  assert.deepEqual(await operation.outcome(), { type: "rejected", code, message });
  const again = client.topic("t").republish(operation, { type: "u" });
  await Promise.resolve();
  const [ticket, seq, , text] = engine.called("edit").at(-1) as [number, number, number, string];
  assert.deepEqual([seq, (JSON.parse(text) as { type: string }).type], [2, "u"]);
  engine.emit({ submitted: [ticket, 2] });
  assert.equal((await again).seq, 2);
});
