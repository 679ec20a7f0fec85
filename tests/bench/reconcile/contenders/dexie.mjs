import { Dexie } from "dexie";

import { documents } from "../documents.mjs";

export async function fill({ count }) {
  const database = open();
  const [ids, values] = [[], []];
  for (const [id, value] of documents(0, count)) {
    ids.push(id);
    values.push(value);
  }
  await database.table("cards").bulkPut(values, ids);
  database.close();
}

export async function read() {
  return (await open().table("cards").toArray()).length;
}

function open() {
  const database = new Dexie("bench");
  database.version(1).stores({ cards: "" });
  return database;
}
