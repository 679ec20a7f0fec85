import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

import { EXECUTABLE, FLAGS } from "../../chromium.mjs";
import { temporary, undo } from "./cleanup.mjs";
import { killGroup } from "./processes.mjs";
import { until } from "./until.mjs";

/**
 * Chromium with a profile of its own on the disk, which outlives a kill. With `background`, a tab that another one covers is
 * in the background, and may be frozen and discarded; otherwise each page believes that somebody looks at it.
 */
export async function browser(t, { blockStorage = false, background = false } = {}) {
  const profile = temporary(t, "profile");
  if (blockStorage) blockSiteData(profile);
  if (background) showInternalPages(profile);
  let child;
  let port;
  let connection;

  const connect = async () => {
    connection = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: background });
  };

  async function start() {
    const portFile = join(profile, "DevToolsActivePort");
    rmSync(portFile, { force: true });
    const options = [
      "--headless",
      ...FLAGS,
      `--user-data-dir=${profile}`,
      "--remote-debugging-port=0",
      "about:blank",
    ];
    // A process group of its own: the browser is many processes, and a kill means them all.
    child = spawn(EXECUTABLE, options, { detached: true, stdio: "ignore" });
    port = await until("the browser listens", () => {
      const text = existsSync(portFile) ? readFileSync(portFile, "utf8") : "";
      return text.includes("\n") && text.split("\n")[0];
    });
    await connect();
  }

  async function kill() {
    if (!child) return;
    await killGroup(child);
    child = undefined;
    await connection.close().catch(() => {});
  }

  undo(t, kill);
  await start();
  return {
    profile,
    /** A new tab. */
    tab: () => connection.contexts()[0].newPage(),
    /** The tabs that there are. */
    tabs: () => connection.contexts()[0].pages(),
    /**
     * Watches no tab until `end` says so, of the titles and addresses of those that have a page: from then on the handles
     * of all tabs are others.
     */
    async lookAway(what, end) {
      await connection.close();
      await until(what, async () => end(await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()));
      await connect();
    },
    /** SIGKILL to every process of the browser. */
    kill,
    /** Starts it again with the same profile. */
    start,
    /** The id of the process in which a tab's page runs: the one that works when the page does. */
    async process(tab) {
      const devtools = await connection.newBrowserCDPSession();
      const used = async () => {
        const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
        return new Map(
          processInfo.filter(({ type }) => type === "renderer").map((each) => [each.id, each.cpuTime]),
        );
      };
      const before = await used();
      return until("a process works", async () => {
        await tab.evaluate(() => {
          for (const end = performance.now() + 200; performance.now() < end;);
        });
        const work = [...(await used())].map(([id, time]) => [time - (before.get(id) ?? 0), id]);
        const [[most, id], [next] = [0]] = work.sort(([a], [b]) => b - a);
        // Others are not idle altogether.
        return most > 0.3 && most > 3 * next && id;
      });
    },
  };
}

/** The setting "sites cannot save data on this device". */
function blockSiteData(profile) {
  mkdirSync(join(profile, "Default"), { recursive: true });
  const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
  writeFileSync(join(profile, "Default/Preferences"), JSON.stringify(preferences));
}

/** The setting "internal debugging pages". */
function showInternalPages(profile) {
  writeFileSync(join(profile, "Local State"), JSON.stringify({ internal_only_uis_enabled: true }));
}
