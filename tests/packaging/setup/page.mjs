import assert from "node:assert/strict";
import { quickStart } from "./project.mjs";
import { shows, visit } from "./browser.mjs";

/**
 * Opens the quick start on two devices, one after the other, and checks that what it writes is shown, reaches the
 * server, and that what others write is shown.
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
    assert.deepEqual((await server.documents("notes"))["hello"], { text });
  } finally {
    await visited.close();
  }
}
