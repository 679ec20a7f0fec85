// Processes that are measured.
import { spawn } from "node:child_process";

const running = new Set();

/** Whatever happens, nothing stays behind. */
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

const SAYS_WHERE = /listening on http:\/\/127\.0\.0\.1:(\d+)/;

/**
 * Starts a program and waits until it says where it listens, or, on a port that it was given, that it is ready. Returns that
 * port, the process's id, and what ends it.
 */
export async function listening(name, [program, ...options], { port: given, ready } = {}) {
  // Some end with their standard input, and so with whoever started them.
  const child = spawn(program, options.map(String), { stdio: "pipe" });
  running.add(child);
  const ended = new Promise((resolve) => child.once("exit", resolve)).then(() => running.delete(child));
  let text = "";
  const port = await new Promise((resolve, reject) => {
    child.on("error", reject);
    ended.then(() => reject(new Error(`${name} ended:\n${text}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => {
        text = (text + chunk).slice(-4_000);
        const found = SAYS_WHERE.exec(text);
        if (found) resolve(Number(found[1]));
        else if (ready?.test(text)) resolve(given);
      });
    }
  });
  return {
    port,
    pid: child.pid,
    async stop(signal = "SIGKILL") {
      child.kill(signal);
      await ended;
    },
  };
}
