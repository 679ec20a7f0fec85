import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { quickStart } from "./project.mjs";
import { shows, visit } from "./browser.mjs";

/** A page that runs one script. Its icon is nothing, so that no browser asks for one. @param {string} script */
export const html = (script) => `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>Notes</title><link rel="icon" href="data:,"></head>
  <body><script type="module" src="${script}"></script></body>
</html>
`;

/**
 * Opens the quick start on a new device and checks that it shows what it writes and what another device wrote, and
 * that what it wrote is on the server.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {string} page
 * @param {import("./server.mjs").Server} server
 */
export async function quickStartWorks(browser, page, server) {
  const [, text] = /** @type {RegExpExecArray} */ (/text: "(.*?)"/.exec(quickStart()));
  const from = `another device, ${Date.now()}`;
  await server.put("notes", "other", { text: from });
  const visited = await visit(browser, page);
  try {
    await shows(visited, /** @type {string} */ (text));
    await shows(visited, from);
    assert.deepEqual(visited.complaints, []);
    assert.deepEqual(await arrived(server, "hello"), { text });
  } finally {
    await visited.close();
  }
}

/** Asks until the server has a note. @param {import("./server.mjs").Server} server @param {string} id */
async function arrived(server, id) {
  for (const end = Date.now() + 15_000; Date.now() < end; await setTimeout(50)) {
    const found = (await server.documents("notes"))[id];
    if (found) {
      return found;
    }
  }
  throw new Error(`the note ${id} did not reach the server`);
}
