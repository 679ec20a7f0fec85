import { createRxDatabase } from "rxdb/plugins/core";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { each } from "./each.mjs";

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
  },
};

/** @param {IDBTransactionDurability} durability */
export const rxdb = (durability) => async (name) => {
  const storage = getRxStorageDexie({ chromeTransactionDurability: durability });
  const database = await createRxDatabase({ name, storage, multiInstance: false });
  const { documents } = await database.addCollections({ documents: { schema } });
  const one = (id, value) => documents.insert({ id, ...value });
  return { one, all: each(one), close: () => database.close() };
};
