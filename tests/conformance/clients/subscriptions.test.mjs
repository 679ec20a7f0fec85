// A subscription goes on when the server was killed.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { start } from "../server.mjs";

let host, end;
before(async () => void ({ host, end } = await start()));
after(() => end());

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 */
async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${host.token()}`, "content-type": "application/json" };
  const url = `${host.url()}/v1/streams/${path}`;
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? undefined : JSON.parse(text) };
}

test("work that came just before the server was killed is announced, and what was claimed stays claimed", async () => {
  await ask("PUT", "wake", []);
  await ask("PUT", "__ds/subscriptions/s", { type: "pull-wake", pattern: "jobs/*", wake_stream: "wake" });
  for (let n = 1; n <= 10; n++) {
    assert.equal((await ask("PUT", `jobs/${n}`, [n])).status, 201);
    await host.kill();
    await host.start();
  }
  const claim = async (/** @type {string} */ worker) => ask("POST", "__ds/subscriptions/s/claim", { worker });
  let claimed = await claim("one");
  for (let tries = 0; claimed.status !== 200 && tries < 100; tries++) {
    await sleep(50);
    claimed = await claim("one");
  }
  assert.equal(claimed.status, 200);
  await host.kill();
  await host.start();
  assert.equal((await claim("two")).body.code, "already_claimed");
  for (let tries = 0; tries < 100; tries++) {
    const { body } = await ask("GET", "__ds/subscriptions/s");
    if (body.streams.length === 10) break;
    await sleep(50);
  }
  const { body } = await ask("GET", "__ds/subscriptions/s");
  assert.ok(body.streams.length === 10 && body.streams.every((stream) => stream.has_pending));
  const wakes = (await ask("GET", "wake")).body;
  assert.ok(wakes.length > 0);
  assert.equal(new Set(wakes.map((wake) => wake.generation)).size, wakes.length);
});
