import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const BINARY = process.env.WEBWAKA_SERVER ?? "";

/** A server of this machine with a data folder of its own, which goes when it is stopped. */
export class Server {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #process;
  #data;
  #options;

  /**
   * @param {string} data
   * @param {number} port
   * @param {string[]} options
   */
  constructor(data, port, options) {
    this.#data = data;
    this.#options = options;
    this.url = `http://127.0.0.1:${port}`;
  }

  /**
   * Starts one on a free port.
   *
   * @param {(url: string) => string[]} [options] further options of the command line, for a server at that URL
   */
  static async start(options = () => []) {
    const data = await mkdtemp(join(tmpdir(), "webwaka-conformance-"));
    for (;;) {
      // Below the ports that the system hands out by itself: nobody takes it while the server is down.
      const port = 10_000 + Math.floor(Math.random() * 20_000);
      const server = new Server(data, port, options(`http://127.0.0.1:${port}`));
      if (await server.#launch()) return server;
    }
  }

  async #launch() {
    const args = ["serve", "--dev", "--listen", this.url.slice("http://".length), "--data", this.#data];
    const child = spawn(BINARY, [...args, ...this.#options], {
      env: { ...process.env, RUST_LOG: "warn" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout });
    const started = await Promise.race([
      once(lines, "line").then(() => true),
      once(child, "exit").then(() => false),
    ]);
    if (started) this.#process = child;
    return started;
  }

  /** A good token for a person of the development tenant. */
  token(subject = "ada") {
    return execFileSync(BINARY, ["token", "--data", this.#data, "--subject", subject]).toString().trim();
  }

  /** Ends it without warning. */
  async kill() {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined) return;
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }

  /** Ends it without warning and starts it again on its data and its port. */
  async restart() {
    await this.kill();
    if (!(await this.#launch())) throw new Error("the server does not start again");
  }

  async stop() {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }
}
