import PouchDB from "pouchdb-browser";

import { documents } from "../documents.mjs";

let database;
let remote;
let size;

export async function queue({ server, count, batch }) {
  database = new PouchDB("bench", { adapter: "idb" });
  [remote, size] = [`${server.url}/cards`, batch];
  const results = await database.bulkDocs(
    Array.from(documents(0, count), ([_id, value]) => ({ _id, ...value })),
  );
  if (results.some(({ ok }) => !ok)) throw new Error("documents were refused");
}

export async function drain() {
  const { doc_write_failures: failures } = await database.replicate.to(remote, { batch_size: size });
  if (failures > 0) throw new Error(`${failures} documents were refused`);
}

export async function sync({ server, count, batch }) {
  database = new PouchDB("bench", { adapter: "idb" });
  await database.replicate.from(`${server.url}/cards`, { batch_size: batch });
  const { doc_count: stored } = await database.info();
  if (stored !== count) throw new Error(`${stored} documents are there`);
}
