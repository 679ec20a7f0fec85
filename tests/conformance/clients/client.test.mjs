// The public client of the Durable Streams protocol, on our topics.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";

import { start } from "../server.mjs";

let host, end;
before(async () => void ({ host, end } = await start()));
after(() => end());

const json = "application/json";

/** @param {string} topic */
function at(topic) {
  const headers = { authorization: `Bearer ${host.token()}` };
  return { url: `${host.url()}/v1/streams/${topic}`, headers };
}

/** @param {string} topic */
async function everything(topic, offset = "-1") {
  const read = await stream({ ...at(topic), offset, live: false });
  return { items: await read.json(), offset: read.offset };
}

test("what the client appends it reads again, from any position, also after the server was killed", async () => {
  const topic = await DurableStream.create({ ...at("orders/eu"), contentType: json });
  for (let n = 0; n < 5; n++) await topic.append(JSON.stringify({ n }));
  const before = await everything("orders/eu");
  assert.deepEqual(
    before.items,
    [0, 1, 2, 3, 4].map((n) => ({ n })),
  );
  await host.kill();
  await host.start();
  assert.deepEqual(await everything("orders/eu"), before);
  await topic.append(JSON.stringify({ n: 5 }));
  assert.deepEqual((await everything("orders/eu", before.offset)).items, [{ n: 5 }]);
});

for (const live of /** @type {const} */ (["long-poll", "sse"])) {
  test(`a reader over ${live} goes on where it was when the server was killed under it`, async () => {
    const name = `live/${live}`;
    const topic = await DurableStream.create({ ...at(name), contentType: json });
    /** @type {number[]} */
    const seen = [];
    let offset = "-1";
    let stopped = false;
    let wake = () => {};
    const following = (async () => {
      while (!stopped) {
        // The client gives a broken connection back to its user, who knows the position.
        const read = await stream({ ...at(name), offset, live }).catch(() => undefined);
        if (read === undefined) continue;
        read.subscribeJson(async (batch) => {
          seen.push(.../** @type {number[]} */ (batch.items));
          offset = batch.offset;
          if (stopped) read.cancel();
          wake();
        });
        await read.closed.catch(() => {});
      }
    })();
    const upTo = async (/** @type {number} */ count) => {
      while (seen.length < count) await new Promise((resolve) => (wake = () => resolve(undefined)));
    };
    for (let n = 0; n < 10; n++) await topic.append(JSON.stringify(n));
    await upTo(10);
    await host.kill();
    await host.start();
    for (let n = 10; n < 20; n++) await topic.append(JSON.stringify(n));
    await upTo(20);
    stopped = true;
    await topic.close();
    await following;
    assert.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, n) => n),
    );
  });
}

test("an idempotent producer writes each event once while the server is killed", async () => {
  const topic = await DurableStream.create({ ...at("produced"), contentType: json });
  const producer = new IdempotentProducer(topic, "producer-1", { autoClaim: true });
  for (let n = 0; n < 300; n++) {
    producer.append(JSON.stringify(n));
    if (n === 100 || n === 200) {
      await producer.flush();
      await host.kill();
      await host.start();
    }
  }
  await producer.flush();
  await producer.close();
  const { items } = await everything("produced");
  assert.deepEqual(
    items,
    Array.from({ length: 300 }, (_, n) => n),
  );
});
