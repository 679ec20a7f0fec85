import { chromium } from "playwright-core";

import { EXECUTABLE, FLAGS } from "../../chromium.mjs";

/** Starts Chromium. Each context of it is a device of its own. */
export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
}

/**
 * Opens a page on a new device, and collects what it complains about.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {string} url
 */
export async function visit(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      complaints.push(`${message.text()} (${message.location().url})`);
    }
  });
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}

/**
 * Waits until the page's text contains this; tells of its complaints if it never does.
 *
 * @param {Awaited<ReturnType<typeof visit>>} visited
 * @param {string} text
 */
export async function shows({ page, complaints }, text) {
  try {
    // A function, as a string would be an evaluation that the page's policy forbids.
    await page.waitForFunction((wanted) => document.body.innerText.includes(wanted), text, {
      timeout: 15_000,
    });
  } catch (error) {
    const shown = await page.innerText("body");
    throw new Error(`the page shows ${JSON.stringify(shown)}; it complained: ${complaints.join("; ")}`, {
      cause: error,
    });
  }
}
