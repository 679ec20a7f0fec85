import { chromium } from "playwright-core";

import { EXECUTABLE, FLAGS } from "../../chromium.mjs";
import { serve } from "./serve.mjs";

/** A browser and a server for the tests of one file; call `stop` after them. */
export async function start() {
  const server = await serve();
  const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    /** Runs `test` in a profile of its own. */
    async inProfile(test) {
      const profile = await browser.newContext();
      try {
        await test(profile);
      } finally {
        await profile.close();
      }
    },
    async stop() {
      await browser.close();
      server.close();
    },
  };
}

/** A page with the modules loaded as `stores` and `reader`, whose panics fail the call that is under way. */
export async function open(profile, url, before) {
  const page = await profile.newPage();
  let panicked;
  const panic = new Promise((_, reject) => (panicked = reject));
  panic.catch(() => {});
  page.on("console", (message) => {
    if (message.type() === "error" && message.text().includes("panicked")) {
      panicked(new Error(message.text()));
    }
  });
  if (before) {
    await page.addInitScript(before);
  }
  await page.goto(url);
  const run = (script, argument) => Promise.race([page.evaluate(script, argument), panic]);
  await run(async () => {
    const load = async (name) => {
      const module = await import(`/pkg/${name}.js`);
      await module.default();
      return module;
    };
    globalThis.stores = await load("browser-stores");
    globalThis.reader = await load("rexie-reader");
  });
  return { page, run };
}
