import { browser, timed } from "../browser.mjs";
import { start } from "../servers/start.mjs";

export const title = (count) => `drain: ${count} operations queued offline, from reconnect to all accepted`;
export const COUNT = 10_000;
export const UNIT = "operations/s";

export const CONTENDERS = [
  { key: "ours", name: "@webwaka/realtime", page: "ours", server: "ours" },
  { key: "rxdb", name: "RxDB, batches of 100 (default)", page: "rxdb", server: "endpoint", batch: 100 },
  { key: "rxdb_largest", name: "RxDB, one batch of all", page: "rxdb", server: "endpoint", batch: COUNT },
  { key: "pouchdb", name: "PouchDB, batches of 100 (default)", page: "pouchdb", server: "couch", batch: 100 },
  {
    key: "pouchdb_largest",
    name: "PouchDB, one batch of all",
    page: "pouchdb",
    server: "couch",
    batch: COUNT,
  },
  // A transaction goes by itself, so there is no batch to choose. It is measured with fewer, which favours it: its cost
  // for each grows with their number, and to queue 10,000 takes it minutes.
  {
    key: "tanstack",
    name: "TanStack offline-transactions, 1,000",
    page: "tanstack",
    server: "endpoint",
    most: 1_000,
  },
];

/** Each measurement has a browser profile and a server of its own. */
export async function measure({ folder, site }, contender, count) {
  const server = await start(contender.server, folder);
  const chromium = await browser(folder);
  try {
    const page = await chromium.page(`${site.url}/${contender.page}.html`);
    const { url, token } = server;
    const queued = await timed(page, "queue", { server: { url, token }, count, batch: contender.batch });
    process.stderr.write(`    queued in ${(queued / 1000).toFixed(1)} s\n`);
    const milliseconds = await timed(page, "drain");
    return { value: (1000 * count) / milliseconds };
  } finally {
    await chromium.close();
    await server.stop();
  }
}

export function ratios(figures) {
  const best = (keys) => Math.max(...keys.map((key) => figures[key].value));
  const defaults = ["rxdb", "pouchdb", "tanstack"];
  return [
    { name: "to the best at its documented settings", value: figures.ours.value / best(defaults), aim: 5 },
    {
      name: "to the best at any settings",
      value: figures.ours.value / best([...defaults, "rxdb_largest", "pouchdb_largest"]),
    },
  ];
}
