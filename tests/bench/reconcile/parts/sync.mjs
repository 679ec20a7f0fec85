import { browser, timed } from "../browser.mjs";
import { meter } from "../meter.mjs";
import { start } from "../servers/start.mjs";

export const title = (count) =>
  `initial sync: ${count} documents into an empty client, to stored and readable`;
export const COUNT = 100_000;
export const UNIT = "ms";
/** It takes long, and noise is small beside it. */
export const ROUNDS = 1;

/** TanStack's has no part like it: its collections read as the application makes them, and store nothing. */
export const CONTENDERS = [
  { key: "ours", name: "@webwaka/realtime", page: "ours", server: "ours" },
  { key: "rxdb", name: "RxDB, batches of 1,000", page: "rxdb", server: "endpoint", batch: 1_000 },
  { key: "pouchdb", name: "PouchDB, batches of 1,000", page: "pouchdb", server: "couch", batch: 1_000 },
];

export async function measure({ folder, site }, contender, count) {
  const server = await start(contender.server, folder, count);
  const wire = await meter(server.url);
  const chromium = await browser(folder);
  try {
    const page = await chromium.page(`${site.url}/${contender.page}.html`);
    const address = { url: wire.url, token: server.token };
    const value = await timed(page, "sync", { server: address, count, batch: contender.batch });
    return { value, megabytes: wire.bytes() / 1e6 };
  } finally {
    await chromium.close();
    wire.close();
    await server.stop();
  }
}

export function ratios({ ours, rxdb, pouchdb }) {
  const best = Math.min(rxdb.value, pouchdb.value);
  const fewest = Math.min(rxdb.megabytes, pouchdb.megabytes);
  return [
    { name: "times as fast as the best", value: best / ours.value, aim: 1 },
    { name: "bytes, as a part of the fewest", value: ours.megabytes / fewest },
  ];
}
