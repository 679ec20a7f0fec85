import { Dexie } from "dexie";
import { each } from "./each.mjs";

/** @param {IDBTransactionDurability} durability */
export const dexie = (durability) => async (name) => {
  const database = new Dexie(name, { chromeTransactionDurability: durability });
  database.version(1).stores({ documents: "" });
  await database.open();
  const table = database.table("documents");
  const one = (id, value) => table.put(value, id);
  return { one, all: each(one), close: () => database.close() };
};
