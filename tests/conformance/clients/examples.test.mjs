// The examples that speak plain HTTP, as their users run them.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { start } from "../server.mjs";

const example = (file) => fileURLToPath(new URL(`../../../examples/${file}`, import.meta.url));
const PEOPLE = ["ada", "ben", "cleo", "dan"];

let host, end;
before(async () => void ({ host, end } = await start()));
after(() => end());

async function ask(method, path, body) {
  const headers = { authorization: `Bearer ${host.token()}`, "content-type": "application/json" };
  const answer = await fetch(`${host.url()}/v1/${path}`, { method, headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.status === 204 ? undefined : answer.json().catch(() => undefined);
}

const order = (n) => ({
  specversion: "1.0",
  id: `${n}`,
  source: "/shop",
  type: "placed",
  subject: PEOPLE[n % 4],
});

/** Where notifications arrive; whatever it refuses has to come again. */
async function inbox(t, refuse) {
  const arrived = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const notification = JSON.parse(text);
    assert.equal(request.headers["idempotency-key"], notification.id);
    if (refuse(notification)) return void response.writeHead(500).end();
    arrived.push(notification);
    response.writeHead(204).end();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());
  return { arrived, url: `http://127.0.0.1:${server.address().port}/` };
}

test("notifiers share the work, tell each person in order, and nobody is forgotten when one is killed", async (t) => {
  await ask("PUT", "streams/orders", []);
  const refused = new Set();
  const { arrived, url } = await inbox(
    t,
    ({ text, id }) => text === "placed: 7" && !refused.has(id) && refused.add(id),
  );
  const options = ["--server", host.url(), "--token", host.token(), "--to", url];
  const workers = [1, 2, 3].map((n) => {
    const worker = spawn(process.execPath, [example("notifier/notifier.mjs"), ...options, "--name", `w${n}`]);
    worker.stderr.pipe(process.stderr);
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    t.after(() => worker.kill("SIGKILL"));
    return { worker, ended };
  });
  const count = 60;
  for (let n = 0; n < count; n += 10) {
    await ask(
      "POST",
      "streams/orders",
      Array.from({ length: 10 }, (_, more) => order(n + more)),
    );
    if (n === 20) workers[0].worker.kill("SIGKILL");
  }
  // Longer than a lease: what was out at the worker that was killed comes back only then.
  const deadline = Date.now() + 60_000;
  for (;;) {
    const group = await ask("GET", "groups/notifier").catch(() => undefined);
    if (group && group.tail !== undefined && group.cursor === group.tail) break;
    assert.ok(Date.now() < deadline, JSON.stringify(group));
    await sleep(100);
  }
  for (const { worker } of workers) worker.kill("SIGTERM");
  await Promise.all(workers.map(({ ended }) => ended));
  assert.equal(refused.size, 1);
  for (const [index, person] of PEOPLE.entries()) {
    const told = arrived.filter(({ to }) => to === person).map(({ text }) => text);
    const expected = Array.from({ length: count / 4 }, (_, n) => `placed: ${n * 4 + index}`);
    assert.deepEqual([...new Set(told)], expected, person);
  }
});

test("a replay counts what there was since a time", async () => {
  await ask("PUT", "streams/visits", []);
  const visits = (type, count) =>
    Array.from({ length: count }, (_, n) => ({ type, id: `${n}`, note: "x".repeat(200) }));
  await ask("POST", "streams/visits", visits("early", 3_000));
  const middle = Date.now() + 1;
  while (Date.now() < middle + 1) await sleep(1);
  // More than one page.
  for (let n = 0; n < 5; n += 1) await ask("POST", "streams/visits", visits("late", 3_000));
  await ask("POST", "streams/visits", visits("last", 1));
  const replay = async (since) => {
    const options = ["--server", host.url(), "--token", host.token(), "--topic", "visits", "--since", since];
    const { stdout } = await promisify(execFile)(process.execPath, [
      example("analytics-replay/replay.mjs"),
      ...options,
    ]);
    return JSON.parse(stdout);
  };
  assert.deepEqual((await replay(new Date(middle).toISOString())).types, { late: 15_000, last: 1 });
  assert.equal((await replay("2020-01-01T00:00:00Z")).events, 18_001);
});
