// The servers that are measured: how each is started, and how one subscribes and publishes in its protocol.
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { listening } from "../listening.mjs";
import { serve, token as tokenFor } from "../webwaka.mjs";
import { open } from "./socket.mjs";

export const SERVERS = [
  {
    key: "ours",
    name: "webwaka-server, durable events",
    command: serve,
    async prepare(port, data) {
      const token = tokenFor(data);
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const url = `http://127.0.0.1:${port}/v1/streams/bench`;
      const made = await fetch(url, { method: "PUT", headers });
      if (!made.ok) throw new Error(`the topic was not made: ${made.status} ${await made.text()}`);
      return { token };
    },
    subscribe: (at, onText) =>
      session(at, onText, '{"subscribe":{"sub":1,"topic":"bench","start":{"latest":{}}}}', '{"events"'),
    async publisher(at) {
      let seq = 0;
      const connection = await session(at, refused, undefined, '{"welcome"');
      const publication = (event) => `{"seq":${(seq += 1)},"topic":"bench","event":${event}}`;
      return {
        publish: async (events) =>
          connection.send(`{"publish":{"publications":[${events.map(publication).join(",")}]}}`),
        end: connection.end,
      };
    },
  },
  {
    key: "socketio",
    name: "Socket.IO 4, events kept nowhere",
    command: () => [process.execPath, fileURLToPath(new URL("socketio.mjs", import.meta.url))],
    prepare: async () => ({}),
    subscribe: ({ port }, onText) => socketio(port, onText, '42["join","bench"]', '42["joined"]'),
    async publisher({ port }) {
      const connection = await socketio(port, () => {}, undefined, "40{");
      return {
        publish: async (events) => events.forEach((event) => connection.send(`42["publish",${event}]`)),
        end: connection.end,
      };
    },
  },
  {
    key: "limit",
    name: "a bare loop that writes as many bytes",
    command: () => [process.env.FANOUT_LIMIT],
    prepare: async () => ({}),
    subscribe: ({ port }, onText) => open(port, { first: "s" }, onText),
    async publisher({ port }) {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      socket.write("p");
      const position = "0006502a1c8a4f07_0000000000000028";
      const frame = (event) =>
        `{"events":{"sub":1,"from":"${position}","to":"${position}","events":[${event}],"recovered":true,"more":false}}\n`;
      return {
        publish: async (events) => void socket.write(events.map(frame).join("")),
        end: () => socket.destroy(),
      };
    },
  },
];

/** Starts one with an empty folder. */
export async function start(server) {
  const data = mkdtempSync(join(tmpdir(), "bench-fanout-"));
  const { port, pid, stop } = await listening(server.name, server.command(data));
  const at = { port, ...(await server.prepare(port, data)) };
  return {
    subscribe: (onText) => server.subscribe(at, onText),
    publisher: () => server.publisher(at),
    cpu: () => cpuSeconds(pid),
    async stop() {
      await stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** A session with our server, which says something after the welcome and is ready when it hears something. */
function session({ port, token }, onText, then, until) {
  const hello = { versions: [1], token, client: randomBytes(16).toString("hex"), resume: [] };
  const greet = (text, send) => {
    if (text.startsWith('{"ping"')) send('{"pong":{}}');
    if (then && text.startsWith('{"welcome"')) send(then);
    return text.startsWith(until);
  };
  const how = { path: "/v1/realtime", protocol: "webwaka.realtime.v1" };
  return greeted(port, how, onText, greet, JSON.stringify({ hello }));
}

/** What a publisher hears: what became of its events, and nothing bad. */
function refused(text) {
  if (text.includes('"rejected"') || text.startsWith('{"error"')) throw new Error(text);
}

function socketio(port, onText, then, until) {
  return greeted(port, { path: "/socket.io/?EIO=4&transport=websocket" }, onText, (text, send) => {
    if (text === "2") send("3");
    if (text.startsWith("0{")) send("40");
    if (then && text.startsWith("40{")) send(then);
    return text.startsWith(until);
  });
}

/** Opens a WebSocket and resolves when `greet` has said that it is subscribed; what comes after that goes to `onText`. */
async function greeted(port, how, onText, greet, first) {
  let ready;
  const readiness = new Promise((resolve) => (ready = resolve));
  let connection;
  const early = [];
  const take = (text) => {
    if (greet(text, connection.send)) {
      if (!ready) return onText(text);
      ready();
      ready = undefined;
    } else if (!ready) onText(text);
  };
  connection = await open(port, how, (text) => (connection ? take(text) : early.push(text)));
  if (first) connection.send(first);
  early.forEach(take);
  await readiness;
  return connection;
}

/** User and system time that a process has used, in seconds. */
function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = 100;
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}
