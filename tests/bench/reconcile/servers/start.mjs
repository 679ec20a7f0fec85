import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { listening } from "../../listening.mjs";
import { serve, token as tokenFor } from "../../webwaka.mjs";
import { documents } from "../documents.mjs";

const script = (name) => fileURLToPath(new URL(name, import.meta.url));
/** How to start each server with an empty folder, and to put documents into it without a client of its own. */
const SERVERS = {
  ours: {
    command: serve,
    async seed({ url, token }, count) {
      const client = randomBytes(16).toString("hex");
      const collections = [{ collection: "cards", strategy: "fieldLevel" }];
      const operations = Array.from(documents(0, count), ([id, put], index) => ({
        seq: index + 1,
        doc: ["cards", id],
        at: [Date.now(), 0],
        intents: [{ put }],
      }));
      for (const part of chunks(operations, 128)) {
        await post(`${url}/v1/push`, { client, collections, operations: part }, token);
      }
    },
  },
  endpoint: {
    command: (data) => [process.execPath, script("endpoint.mjs"), data],
    async seed({ url }, count) {
      const rows = Array.from(documents(0, count), ([id, value]) => ({ newDocumentState: { id, ...value } }));
      for (const part of chunks(rows, 5_000)) await post(`${url}/push`, { rows: part });
    },
  },
  /** These two have events and no documents. */
  socketio: { command: () => [process.execPath, script("../../resume/servers/socketio.mjs")] },
  durable: { command: (data) => [process.execPath, script("../../append/durable.mjs"), data] },
  couch: {
    command: (data) => [process.execPath, script("couch.mjs"), data],
    async seed({ url }, count) {
      await fetch(`${url}/cards`, { method: "PUT" });
      const docs = Array.from(documents(0, count), ([_id, value]) => ({ _id, ...value }));
      for (const part of chunks(docs, 1_000)) await post(`${url}/cards/_bulk_docs`, { docs: part });
    },
  },
};

/** A server process with a folder of its own, holding `count` documents. */
export async function start(kind, folder, count = 0) {
  const data = join(folder, `${kind}-${randomBytes(4).toString("hex")}`);
  await mkdir(data);
  const { command, seed } = SERVERS[kind];
  const { port, stop } = await listening(`the server "${kind}"`, command(data));
  const url = `http://127.0.0.1:${port}`;
  const token = kind === "ours" && tokenFor(data);
  const server = { url, ...(token && { token }) };
  if (count > 0) await seed(server, count);
  return {
    ...server,
    stop: () => stop("SIGTERM"),
  };
}

async function post(url, body, token) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

function* chunks(list, size) {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}
