// What Chromium does to tabs in the background. The browser has to be started with `background`.

/** Freezes a page: it hears of that, and then none of its tasks runs until the function is called that this resolves with. */
export async function freeze(tab) {
  const devtools = await tab.context().newCDPSession(tab);
  const set = (state) => devtools.send("Page.setWebLifecycleState", { state });
  await set("frozen");
  return () => set("active");
}

const VICTIM = "to be discarded";
const DONE = "discarded";

const INTERNALS = "chrome://discards/";
/** Of the table of tabs; the page lists processes, too. */
const ROW = "#tab-discards-info-table-body tr";

/**
 * Discards a tab in the background at once, as Chromium does when memory is short: the page is gone, without a word to it,
 * and the tab stays. Chromium spares tabs that DevTools watch, so nobody watches any meanwhile, and the handles of all tabs
 * are others afterwards.
 */
export async function discard(chromium, tab) {
  await tab.evaluate((title) => (document.title = title), VICTIM);
  const internals = await chromium.tab();
  await internals.goto(INTERNALS);
  await internals.locator(ROW, { hasText: VICTIM }).waitFor();
  await internals.evaluate(discardOnceUnwatched, [VICTIM, DONE]);
  await chromium.lookAway("the tab is discarded", (targets) => targets.some(({ title }) => title === DONE));
}

/** Loads the tab that was discarded, and resolves with it. The handles of all tabs are others afterwards, once more. */
export async function loadDiscarded(chromium) {
  const pages = chromium.tabs();
  const internals = pages.find((each) => each.url() === INTERNALS);
  await internals.locator(ROW, { hasText: VICTIM }).getByText("[Load]").click();
  // DevTools that watch see nothing of it.
  const isThere = (targets) => targets.filter(({ type }) => type === "page").length > pages.length;
  await chromium.lookAway("the tab is loaded", isThere);
  for (const tab of chromium.tabs()) {
    await tab.waitForLoadState();
    if (await tab.evaluate(() => document.wasDiscarded)) return tab;
  }
  throw new Error("no tab was discarded");
}

/** To be run in chrome://discards: clicks as soon as that has an effect, and says in its title that it had. */
function discardOnceUnwatched([victim, done]) {
  const table = document.querySelector("discards-main").shadowRoot.querySelector("discards-tab").shadowRoot;
  const look = setInterval(() => {
    const row = [...table.querySelectorAll("tbody tr")].find(({ textContent }) =>
      textContent.includes(victim),
    );
    const link = [...row.querySelectorAll("[is=action-link]")].find(({ textContent }) =>
      textContent.includes("Urgent Discard"),
    );
    if (/discarded \(urgent\)/.test(row.textContent)) {
      document.title = done;
      clearInterval(look);
    } else if (!/using DevTools/.test(row.textContent)) {
      link.click();
    }
  }, 100);
}
