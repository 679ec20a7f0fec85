/** Everything that is measured, in the order of the table. Peers write one value a call, as applications do. */
export const CONTENDERS = [
  {
    key: "limit_strict",
    name: "IndexedDB itself, batched",
    contender: "raw",
    durability: "strict",
    role: "limit",
  },
  { key: "ours", name: "@webwaka/realtime", contender: "ours", durability: "strict", role: "ours" },
  {
    key: "idb_strict",
    name: "idb, one transaction each",
    contender: "idb",
    durability: "strict",
    role: "peer",
  },
  { key: "dexie_strict", name: "Dexie", contender: "dexie", durability: "strict", role: "peer" },
  { key: "rxdb_strict", name: "RxDB over Dexie", contender: "rxdb", durability: "strict", role: "peer" },
  {
    key: "limit_relaxed",
    name: "IndexedDB itself, batched",
    contender: "raw",
    durability: "relaxed",
    role: "limit",
  },
  {
    key: "idb_relaxed",
    name: "idb, one transaction each",
    contender: "idb",
    durability: "relaxed",
    role: "peer",
  },
  { key: "dexie_relaxed", name: "Dexie", contender: "dexie", durability: "relaxed", role: "peer" },
  { key: "rxdb_relaxed", name: "RxDB over Dexie", contender: "rxdb", durability: "relaxed", role: "peer" },
  {
    key: "pouchdb_default",
    name: "PouchDB (no option: the default)",
    contender: "pouchdb",
    durability: "default",
    role: "peer",
  },
];

export const MODES = [
  { mode: "at once", key: "at_once", count: 1000 },
  { mode: "one at a time", key: "one_at_a_time", count: 200 },
];

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The figures that are aimed at: strict against strict, and the best peer of either durability beside it. */
export function ratios(figures) {
  const best = (durabilities) =>
    Math.max(
      ...CONTENDERS.filter(
        ({ role, durability }) => role === "peer" && durabilities.includes(durability),
      ).map(({ key }) => figures[key].at_once),
    );
  return {
    at_once_to_limit: figures.ours.at_once / figures.limit_strict.at_once,
    at_once_to_best_strict_peer: figures.ours.at_once / best(["strict"]),
    at_once_to_best_peer_of_any_durability: figures.ours.at_once / best(["strict", "relaxed", "default"]),
    one_at_a_time_to_raw_put: figures.ours.one_at_a_time / figures.limit_strict.one_at_a_time,
  };
}

/** What the ratios should be at least. */
export const AIMS = {
  at_once_to_limit: 0.8,
  at_once_to_best_strict_peer: 5,
  one_at_a_time_to_raw_put: 0.9,
};
