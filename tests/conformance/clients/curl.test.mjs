// A topic needs no client at all: curl writes, reads and follows it.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { start } from "../server.mjs";

let host, end;
before(async () => void ({ host, end } = await start()));
after(() => end());

const run = promisify(execFile);

/**
 * @param {string} path
 * @param {string[]} args
 */
function line(path, args) {
  const auth = `authorization: Bearer ${host.token()}`;
  return ["--silent", "--show-error", "-H", auth, ...args, `${host.url()}/v1/streams/${path}`];
}

/**
 * Runs curl and takes its answer apart.
 *
 * @param {string} path
 * @param {string[]} args
 */
async function curl(path, ...args) {
  const { stdout } = await run("curl", line(path, ["--include", ...args]));
  const [head, body] = stdout.split(/\r\n\r\n(.*)/s);
  const [status, ...headers] = head.split("\r\n");
  const header = (/** @type {string} */ name) =>
    headers.find((text) => text.toLowerCase().startsWith(`${name}: `))?.slice(name.length + 2);
  return { status: Number(status.split(" ")[1]), header, body };
}

const TEXT = ["-H", "content-type: text/plain"];

test("curl writes and reads a topic, also after the server was killed", async () => {
  assert.equal((await curl("log", "-X", "PUT", ...TEXT)).status, 201);
  assert.equal((await curl("log", "-d", "first line", ...TEXT)).status, 204);
  const second = await curl("log", "--data-binary", "second line\n", ...TEXT);
  await host.kill();
  await host.start();
  const all = await curl("log");
  assert.equal(all.body, "first linesecond line\n");
  assert.equal(all.header("stream-next-offset"), second.header("stream-next-offset"));
  const rest = await curl(`log?offset=${second.header("stream-next-offset")}`);
  assert.deepEqual([rest.status, rest.body, rest.header("stream-up-to-date")], [200, "", "true"]);
});

test("curl follows a topic as server-sent events", async () => {
  await curl("news", "-X", "PUT", "-H", "content-type: application/json");
  const following = spawn("curl", line("news?offset=now&live=sse", ["--no-buffer"]));
  const lines = createInterface({ input: following.stdout });
  const [first] = await once(lines, "line");
  assert.equal(first, "event: control");
  const data = new Promise((resolve) =>
    lines.on("line", (text) => text.startsWith("data:[") && resolve(text)),
  );
  await curl("news", "-d", '[{"n":1},{"n":2}]', "-H", "content-type: application/json");
  assert.equal(await data, 'data:[{"n":1},{"n":2}]');
  following.kill();
});

test("a refusal is a problem document that curl can show", async () => {
  const answer = await curl("absent");
  assert.equal(answer.header("content-type"), "application/problem+json");
  const { status, code } = JSON.parse(answer.body);
  assert.deepEqual([answer.status, status, code], [404, 404, "no_such_topic"]);
});
