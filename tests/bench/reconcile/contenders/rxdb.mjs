import { createRxDatabase } from "rxdb/plugins/core";
import { replicateRxCollection } from "rxdb/plugins/replication";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";

import { documents } from "../documents.mjs";
import { get, post } from "./http.mjs";

const text = { type: "string" };
const schema = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 40 },
    title: text,
    note: text,
    column: text,
    order: { type: "number" },
    owner: text,
  },
};

let cards;
let replication;

export async function queue({ server, count, batch }) {
  await open();
  const { error } = await cards.bulkInsert(
    Array.from(documents(0, count), ([id, value]) => ({ id, ...value })),
  );
  if (error.length > 0) throw new Error(`${error.length} documents were refused`);
  replication = replicate({
    push: { batchSize: batch, handler: (rows) => post(`${server.url}/push`, { rows }) },
  });
}

export async function drain() {
  await replication.start();
  await replication.awaitInSync();
}

export async function sync({ server, count, batch }) {
  await open();
  replication = replicate({
    pull: {
      batchSize: batch,
      handler: (checkpoint, limit) => get(`${server.url}/pull?after=${checkpoint?.seq ?? 0}&limit=${limit}`),
    },
  });
  await replication.start();
  await replication.awaitInitialReplication();
  const stored = await cards.count().exec();
  if (stored !== count) throw new Error(`${stored} documents are there`);
}

export async function fill({ count }) {
  await open();
  await cards.bulkInsert(Array.from(documents(0, count), ([id, value]) => ({ id, ...value })));
  await cards.database.close();
}

export async function read() {
  await open();
  return (await cards.find().exec()).length;
}

async function open() {
  const database = await createRxDatabase({
    name: "bench",
    storage: getRxStorageDexie(),
    multiInstance: false,
  });
  ({ cards } = await database.addCollections({ cards: { schema } }));
}

function replicate(directions) {
  const state = replicateRxCollection({
    collection: cards,
    replicationIdentifier: "bench",
    live: false,
    waitForLeadership: false,
    autoStart: false,
    ...directions,
  });
  // It would try again for ever.
  state.error$.subscribe((error) => console.error(error));
  return state;
}
