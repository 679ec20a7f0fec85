import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

import { temporary, undo } from "../harness/cleanup.mjs";
import { killGroup } from "../harness/processes.mjs";

/** Which Firefox the tests drive. */
const EXECUTABLE = process.env["FIREFOX"] ?? "/usr/bin/firefox-esr";

const PREFERENCES = {
  // Nothing leaves the machine: whatever is not loopback goes to a proxy that is not there.
  "network.proxy.type": 1,
  "network.proxy.socks": "127.0.0.1",
  "network.proxy.socks_port": 9,
  "network.proxy.socks_remote_dns": true,
  "network.proxy.no_proxies_on": "127.0.0.1",
  // A profile that was killed is opened as any other.
  "toolkit.startup.max_resumed_crashes": -1,
  "browser.sessionstore.resume_from_crash": false,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
};

/** Firefox over WebDriver BiDi, with a profile of its own on the disk, which outlives a kill. */
export async function firefox(t) {
  const profile = temporary(t, "profile");
  const lines = Object.entries(PREFERENCES).map((pair) => `user_pref(${JSON.stringify(pair).slice(1, -1)});`);
  writeFileSync(join(profile, "user.js"), lines.join("\n"));
  let child;
  let browser;

  async function start() {
    const options = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"];
    // A process group of its own: the browser is many processes, and a kill means them all.
    child = spawn(EXECUTABLE, options, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    const address = await listening(child);
    browser = await puppeteer.connect({
      browserWSEndpoint: `${address}/session`,
      protocol: "webDriverBiDi",
    });
  }

  async function kill() {
    if (!child) return;
    await killGroup(child);
    child = undefined;
  }

  undo(t, kill);
  await start();
  return {
    /** A new tab. */
    tab: () => browser.newPage(),
    /** SIGKILL to every process of the browser. */
    kill,
    /** Starts it again with the same profile. */
    start,
  };
}

/** Opens the fixture page in a tab, with the client of that name. */
export async function openClient(tab, host, url, name, resolved) {
  await tab.exposeFunction("mint", () => host.token("ada", 600));
  if (resolved) await tab.exposeFunction("resolved", resolved);
  await tab.goto(url);
  await tab.waitForFunction(() => globalThis.fixture !== undefined);
  await tab.evaluate((name) => globalThis.fixture.open(name), name);
}

/** Resolves with the address that Firefox tells on its standard error. */
function listening(child) {
  return new Promise((resolve, reject) => {
    let text = "";
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`Firefox ended by itself (${code}):\n${text}`)));
    child.stderr.setEncoding("utf8").on("data", (chunk) => {
      text = (text + chunk).slice(-10_000);
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(text);
      if (found) resolve(found[1]);
    });
  });
}
