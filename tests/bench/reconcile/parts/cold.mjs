import { browser, timed } from "../browser.mjs";
import { start } from "../servers/start.mjs";

export const title = (count) =>
  `cold start offline: ${count} documents stored, from the page's start to all of them read`;
export const COUNT = 10_000;
export const UNIT = "ms";

export const CONTENDERS = [
  { key: "ours", name: "@webwaka/realtime", page: "ours" },
  { key: "dexie", name: "Dexie, toArray", page: "dexie" },
  { key: "rxdb", name: "RxDB over Dexie", page: "rxdb" },
];

const profiles = new Map();

/** A new browser process each time, over the profile that the first round has filled. The server is gone. */
export async function measure({ folder, site }, contender, count) {
  const page = `${site.url}/${contender.page}.html`;
  if (!profiles.has(contender.key)) profiles.set(contender.key, await fill(folder, page, contender, count));
  const { profile, server } = profiles.get(contender.key);
  const chromium = await browser(folder, profile);
  try {
    const tab = await chromium.page(`${page}#${encodeURIComponent(JSON.stringify({ server }))}`);
    const { read, milliseconds } = await tab.evaluate(() => globalThis.outcome);
    if (read !== count) throw new Error(`${contender.name} read ${read} documents`);
    return { value: milliseconds };
  } finally {
    await chromium.close();
  }
}

async function fill(folder, url, contender, count) {
  const server = contender.page === "ours" ? await start("ours", folder, count) : undefined;
  const chromium = await browser(folder);
  try {
    const page = await chromium.page(url);
    const address = server && { url: server.url, token: server.token };
    await timed(page, "fill", { server: address, count });
    return { profile: chromium.profile, server: address };
  } finally {
    await chromium.close();
    await server?.stop();
  }
}

export function ratios({ ours, dexie, rxdb }) {
  return [
    { name: "times as fast as Dexie", value: dexie.value / ours.value, aim: 1 },
    { name: "times as fast as RxDB", value: rxdb.value / ours.value, aim: 1 },
  ];
}
