// The servers that are measured, each set so that an append is on the disk before it is answered, and how one append
// and its answer look on the wire. Writers speak the protocols themselves: no client library weighs on any of them.
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { listening } from "../listening.mjs";
import { serve, token as tokenFor } from "../webwaka.mjs";
import { connect, frame, frameAnswer, httpAnswer, natsAnswer, redisAnswer } from "./wire.mjs";

const http = (path, body, more = "") =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${more}content-length: ${body.length}\r\n\r\n${body}`;

const TOPIC = "bench";
/** Events in a frame of an outbox in which so many wait. */
const FRAME = 32;

/** Our server, and the rights of a writer. */
const ours = {
  command: serve,
  async token({ port, data }) {
    const token = tokenFor(data);
    await put(`http://127.0.0.1:${port}/v1/streams/${TOPIC}`, { authorization: `Bearer ${token}` });
    return token;
  },
};

/** Publishing as our clients do: each event has a name, by which it is there once however often it is sent. */
const webSocket = {
  command: ours.command,
  async prepare(at) {
    const token = await ours.token(at);
    const seqs = new Map();
    const publication = (event, name) => {
      const seq = (seqs.get(name) ?? 0) + 1;
      seqs.set(name, seq);
      return `{"seq":${seq},"topic":"${TOPIC}","event":${event}}`;
    };
    return {
      opening: () => {
        const hello = { versions: [1], token, client: randomBytes(16).toString("hex"), resume: [] };
        const upgrade =
          "GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n" +
          "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
          "sec-websocket-protocol: webwaka.realtime.v1\r\n\r\n";
        return [upgrade, frame(JSON.stringify({ hello }))];
      },
      append: (events, name) => {
        const publications = events.map((event) => publication(event, name));
        return frame(`{"publish":{"publications":[${publications.join(",")}]}}`);
      },
    };
  },
  answer: frameAnswer,
};

/** The body of a request is one event: nothing else is said of how many there are. */
const single =
  (request) =>
  ([event], name) =>
    request(event, name);

export const SERVERS = [
  {
    key: "ours_http",
    name: "webwaka-server, HTTP",
    command: ours.command,
    async prepare(at) {
      const authorization = `authorization: Bearer ${await ours.token(at)}\r\n`;
      return { append: single((body) => http(`/v1/streams/${TOPIC}`, body, authorization)) };
    },
    answer: httpAnswer,
  },
  { key: "ours_websocket", name: "webwaka-server, WebSocket", ...webSocket },
  {
    key: "ours_frames",
    name: `webwaka-server, ${FRAME} events a frame`,
    together: FRAME,
    ...webSocket,
  },
  {
    key: "durable_streams",
    name: "@durable-streams/server, file-backed",
    command: (data) => [process.execPath, fileURLToPath(new URL("durable.mjs", import.meta.url)), data],
    async prepare({ port }) {
      await put(`http://127.0.0.1:${port}/bench`);
      return { append: single((body) => http("/bench", body)) };
    },
    answer: httpAnswer,
  },
  {
    key: "nats",
    name: "NATS JetStream, sync always",
    async command(data, port) {
      const file = join(data, "nats.conf");
      const store = `jetstream { store_dir: "${join(data, "store")}", sync_interval: always }`;
      await writeFile(file, `listen: 127.0.0.1:${port}\n${store}\n`);
      return [process.env.NATS_SERVER ?? "nats-server", "-c", file];
    },
    greet: (name) => `CONNECT {"verbose":false}\r\nSUB _I.${name} 1\r\n`,
    async prepare({ port }) {
      const stream = JSON.stringify({ name: "bench", subjects: ["bench"], storage: "file", num_replicas: 1 });
      const writer = await connect(port, this.greet("make"), natsAnswer);
      await writer.ask(`PUB $JS.API.STREAM.CREATE.bench _I.make ${stream.length}\r\n${stream}\r\n`);
      writer.end();
      return { append: single((body, name) => `PUB bench _I.${name} ${body.length}\r\n${body}\r\n`) };
    },
    answer: natsAnswer,
  },
  {
    key: "redis",
    name: "Redis Streams, appendfsync always",
    command: (data, port) =>
      [
        process.env.REDIS_SERVER ?? "redis-server",
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--dir",
        data,
        "--save",
        "",
      ].concat(["--appendonly", "yes", "--appendfsync", "always"]),
    prepare: () => ({
      append: single(
        (body) =>
          `*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$4\r\ndata\r\n$${body.length}\r\n${body}\r\n`,
      ),
    }),
    answer: redisAnswer,
  },
];

/** Starts one with an empty folder. Returns how a writer connects, how its appends look, and what ends the server. */
export async function start(server, folder) {
  const data = join(folder, `${server.key}-${randomBytes(4).toString("hex")}`);
  await mkdir(data);
  const free = await freePort();
  const command = await server.command(data, free);
  const ready = /Server is ready|Ready to accept connections/;
  const { port, stop } = await listening(server.name, command, { port: free, ready });
  const { append, opening } = await server.prepare({ port, data });
  return {
    append,
    async writer(name) {
      const connection = await connect(port, server.greet?.(name), server.answer);
      for (const request of opening?.() ?? []) await connection.ask(request);
      return connection;
    },
    stop: () => stop(),
  };
}

async function put(url, headers = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch(url, {
      method: "PUT",
      headers: { "content-type": "application/json", ...headers },
    });
    await answer.arrayBuffer();
    if (answer.ok) return;
    if (attempt === 10) throw new Error(`${url} answered ${answer.status}`);
    await sleep(100);
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}
