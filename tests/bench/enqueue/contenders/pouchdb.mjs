import PouchDB from "pouchdb-browser";
import { each } from "./each.mjs";

/** It has no option for durability: it runs with the browser's default. */
export const pouchdb = () => async (name) => {
  const database = new PouchDB(name, { adapter: "idb" });
  await database.info();
  const one = (id, value) => database.put({ _id: id, ...value });
  return { one, all: each(one), close: () => database.close() };
};
