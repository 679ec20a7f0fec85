import { openDB } from "idb";
import { each } from "./each.mjs";

/** @param {IDBTransactionDurability} durability */
export const idb = (durability) => async (name) => {
  const database = await openDB(name, 1, { upgrade: (db) => void db.createObjectStore("documents") });
  const one = async (id, value) => {
    const transaction = database.transaction("documents", "readwrite", { durability });
    await Promise.all([transaction.store.put(value, id), transaction.done]);
  };
  return { one, all: each(one), close: () => database.close() };
};
