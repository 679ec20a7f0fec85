import { createCollection } from "@tanstack/db";
import { startOfflineExecutor } from "@tanstack/offline-transactions";

import { documents } from "../documents.mjs";
import { post } from "./http.mjs";

let online = false;
let executor;
let committed;
const listeners = new Set();

/** Stands for the browser's own, whose events the page cannot make. */
const onlineDetector = {
  isOnline: () => online,
  subscribe: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
  notifyOnline: () => listeners.forEach((listener) => listener()),
  dispose: () => listeners.clear(),
};

export async function queue({ server, count }) {
  let sync;
  const cards = createCollection({
    id: "cards",
    getKey: ({ id }) => id,
    sync: {
      sync: (writer) => {
        sync = writer;
        writer.markReady();
      },
    },
  });
  cards.startSyncImmediate();
  executor = startOfflineExecutor({
    collections: { cards },
    onlineDetector,
    mutationFns: {
      async save({ transaction, idempotencyKey }) {
        const values = transaction.mutations.map(({ modified }) => modified);
        await post(`${server.url}/save`, { key: idempotencyKey, values });
        sync.begin();
        for (const value of values) sync.write({ type: "insert", value });
        sync.commit();
      },
    },
  });
  await executor.waitForInit();
  if (!executor.isOfflineEnabled) throw new Error("it is not in offline mode");
  // An edit is a transaction of its own, as with the others: it is saved, and may be refused, by itself.
  committed = Array.from(documents(0, count), ([id, value]) => {
    const transaction = executor.createOfflineTransaction({ mutationFnName: "save", autoCommit: false });
    transaction.mutate(() => cards.insert({ id, ...value }));
    return transaction.commit();
  });
  while (executor.getPendingCount() < count) await new Promise((later) => setTimeout(later, 50));
}

export async function drain() {
  online = true;
  onlineDetector.notifyOnline();
  await Promise.all(committed);
}
