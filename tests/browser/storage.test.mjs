import assert from "node:assert/strict";
import { test } from "node:test";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { server } from "./harness/server.mjs";

const HONEST = "This browser does not let us save: edits live only in this tab";

// Each way a browser may refuse to store, applied before the page loads.
const WAYS = {
  "site data is blocked in the settings": { options: { blockStorage: true } },
  "there is no IndexedDB": {
    before: () => Object.defineProperty(globalThis, "indexedDB", { value: undefined }),
  },
  "asking for IndexedDB throws": {
    before: () =>
      Object.defineProperty(globalThis, "indexedDB", {
        get() {
          throw new DOMException("The operation is insecure.", "SecurityError");
        },
      }),
  },
  "opening a database fails": {
    before: () => {
      const { open } = IDBFactory.prototype;
      IDBFactory.prototype.open = function (name) {
        const request = open.call(this, name);
        request.addEventListener("upgradeneeded", () => request.transaction.abort());
        return request;
      };
    },
  },
};

for (const [way, { options, before }] of Object.entries(WAYS)) {
  test(`nothing claims to be saved, and edits still reach everyone, where ${way}`, async (t) => {
    const host = await server(t);
    const tab = await (await browser(t, options)).tab();
    if (before) await tab.addInitScript(before);
    const ada = await board(tab, host.url(), "Ada");
    await ada.untilLink("Live");
    assert.equal(await ada.saved(), HONEST);
    await ada.add("todo", "Online only");
    const ben = await board(await (await browser(t)).tab(), host.url(), "Ben");
    await ben.untilTitles("todo", ["Online only"]);

    await ada.network(false);
    await ada.untilLink("Offline – edits are kept in this tab");
    await ada.add("todo", "While away");
    await ada.untilSaved("1 edit waiting to be sent");
    const page = await ada.tab.locator("body").innerText();
    assert.ok(page.includes(HONEST), page);
    assert.ok(
      !/saved|kept on this device|on the server/i.test(page.replace("Not on the server yet", "")),
      page,
    );
    // Whoever leaves now would lose it.
    await tab.getByRole("button", { name: "You are Ada" }).click();
    await tab.locator(".toast", { hasText: "would be lost" }).waitFor();
    await ada.network(true);
    await ben.untilTitles("todo", ["Online only", "While away"]);
    database(host).assertEachOnce();
  });
}
