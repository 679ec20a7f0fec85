// Runs in the browser: one measurement of one contender, on a database of its own.

import { dexie } from "./contenders/dexie.mjs";
import { idb } from "./contenders/idb.mjs";
import { ours } from "./contenders/ours.mjs";
import { pouchdb } from "./contenders/pouchdb.mjs";
import { raw } from "./contenders/raw.mjs";
import { rxdb } from "./contenders/rxdb.mjs";

const OPEN = { raw, idb, dexie, rxdb, pouchdb, ours };

/** Enough for the engine of the browser to have compiled what is measured. */
const WARM_UP = 100;

globalThis.measure = async ({ contender, durability, mode, count }) => {
  const store = await OPEN[contender](durability)(`bench-${crypto.randomUUID()}`);
  await store.all(entries("warm", WARM_UP));
  for (const [id, value] of entries("up", 10)) await store.one(id, value);
  const measured = entries("measured", count);
  const start = performance.now();
  if (mode === "at once") await store.all(measured);
  else for (const [id, value] of measured) await store.one(id, value);
  const seconds = (performance.now() - start) / 1000;
  await store.close();
  return count / seconds;
};

function entries(kind, count) {
  return Array.from({ length: count }, (_, index) => [
    `${kind}-${index}`,
    {
      title: `Call the clinic in Ikeja about the cold boxes (${index})`,
      note: "Ask for the manager, and for the key of the back room.",
      column: "todo",
      order: index * 1024,
    },
  ]);
}
