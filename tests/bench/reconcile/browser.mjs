import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

import { EXECUTABLE, FLAGS } from "../../chromium.mjs";

/** Chromium with a profile on the disk: new, or one that an earlier one has left. */
export async function browser(folder, profile) {
  const directory = profile ?? (await mkdtemp(join(folder, "profile-")));
  const context = await chromium.launchPersistentContext(directory, {
    executablePath: EXECUTABLE,
    args: FLAGS,
  });
  return {
    profile: directory,
    /** A page, whose complaints are ours. */
    async page(url) {
      const page = await context.newPage();
      page.on("console", (message) => {
        // PouchDB asks for its checkpoint before there is one; and a server that is down is part of the cold start.
        const expected = /^Failed to load resource|ERR_CONNECTION_REFUSED/.test(message.text());
        if (message.type() === "error" && !expected) process.stderr.write(`    page: ${message.text()}\n`);
      });
      await page.goto(url);
      await page.waitForFunction(() => globalThis.contender !== undefined);
      return page;
    },
    close: () => context.close(),
  };
}

/** Calls a function of the contender in its page; milliseconds that it took there. */
export const timed = (page, name, job) =>
  page.evaluate(
    async ([name, job]) => {
      const start = performance.now();
      await globalThis.contender[name](job);
      return performance.now() - start;
    },
    [name, job],
  );
