import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { temporary, undo } from "./cleanup.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const binary = process.env.WEBWAKA_SERVER ?? join(target, "debug/webwaka-server");

/** The task board as its build command leaves it. */
export const BOARD = join(root, "examples/task-board/dist");

/**
 * A real server process with a data folder of its own, and a page unless that is `null`. It can be stopped, killed and
 * started again on the same port, over the same data.
 */
export async function server(t, { web = BOARD } = {}) {
  if (!existsSync(binary)) throw new Error(`no server at ${binary}: cargo build -p server-reference`);
  if (web && !existsSync(join(web, "index.html")))
    throw new Error(`nothing to serve in ${web}: build the task board`);
  const data = temporary(t, "data");
  let child;
  let port = 0;
  let log = "";

  async function start(more = []) {
    const options = ["serve", "--dev", "--listen", `127.0.0.1:${port}`, "--data", data, ...more];
    if (web) options.push("--web", web);
    const started = spawn(binary, options, { stdio: ["ignore", "pipe", "pipe"] });
    child = started;
    started.stderr.setEncoding("utf8").on("data", (chunk) => (log = (log + chunk).slice(-10_000)));
    port = await new Promise((resolve, reject) => {
      let text = "";
      started.on("error", reject);
      started.on("exit", () => reject(ended()));
      started.stdout.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
        const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(text);
        if (found) resolve(Number(found[1]));
      });
    });
  }

  const ended = () =>
    new Error(`the server ended by itself (${child.exitCode ?? child.signalCode}):\n${log}`);

  async function end(signal) {
    if (!child) return;
    if (child.exitCode !== null || child.signalCode !== null) throw ended();
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await exit;
    child = undefined;
  }

  undo(t, () => end("SIGKILL"));
  await start();
  return {
    data,
    port: () => port,
    url: () => `http://127.0.0.1:${port}`,
    /** With further options of the command line. */
    start,
    /** As an operator does: drain, then exit. */
    stop: () => end("SIGTERM"),
    /** As a power cut does. */
    kill: () => end("SIGKILL"),
    /** A token of the development tenant that lives for so many seconds. */
    token: (subject = "ada", ttl = 3_600) =>
      execFileSync(
        binary,
        ["token", "--data", data, "--subject", subject, "--tenant", "dev", "--ttl", String(ttl)],
        {
          encoding: "utf8",
        },
      ).trim(),
  };
}
