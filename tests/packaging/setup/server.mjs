import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The real server, in development mode, on a free port, with its data in a temporary folder. */
export class Server {
  #data = mkdtempSync(join(tmpdir(), "packaging-data-"));
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #process;
  #seq = 0;
  url = "";

  async start() {
    const program = process.env["WEBWAKA_SERVER"];
    if (!program) {
      throw new Error("WEBWAKA_SERVER must name the server's binary; `cargo xtask ci packaging` sets it");
    }
    const args = ["serve", "--dev", "--listen", "127.0.0.1:0", "--data", this.#data];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    for await (const line of createInterface({ input: child.stdout })) {
      const [, url] = /^listening on (http:\S+)/.exec(line) ?? [];
      if (url) {
        this.url = url;
        child.stdout.resume();
        return this;
      }
    }
    throw new Error(`the server ended before it listened (exit code ${child.exitCode})`);
  }

  /**
   * The documents of a collection as the server has them: their fields by id. Asked for without the code under
   * test, as is `put`.
   *
   * @param {string} collection
   * @returns {Promise<Record<string, Record<string, unknown>>>}
   */
  async documents(collection) {
    /** @type {Record<string, Record<string, unknown>>} */
    const found = {};
    for (let after, more = true; more;) {
      const resume = { collection, strategy: "fieldLevel", ...(after && { after }) };
      const { changes } = await this.#call("v1/pull", { collections: [resume] });
      for (const { id, doc } of changes.flatMap((/** @type {any} */ each) => each.documents)) {
        const others = Object.entries(doc.fields ?? {}).filter(([, register]) => "v" in register);
        // Fields of the newest write are kept without a stamp of their own.
        found[id] = { ...doc.latest, ...Object.fromEntries(others.map(([name, { v }]) => [name, v])) };
      }
      ({ to: after, more } = changes.at(-1));
    }
    return found;
  }

  /** Writes a document, as another device would. @param {string} collection @param {string} id @param {object} put */
  async put(collection, id, put) {
    const at = [Date.now(), 0];
    const { judgements } = await this.#call("v1/push", {
      collections: [{ collection, strategy: "fieldLevel" }],
      operations: [{ seq: ++this.#seq, doc: [collection, id], at, schema: 0, intents: [{ put }], base: {} }],
    });
    const [{ outcome }] = judgements;
    if (!("accepted" in outcome)) {
      throw new Error(`the server did not accept: ${JSON.stringify(outcome)}`);
    }
  }

  async stop() {
    if (this.#process?.exitCode === null) {
      this.#process.kill("SIGTERM");
      await once(this.#process, "exit");
    }
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** @param {string} path @param {object} body */
  async #call(path, body) {
    const { token } = await this.#post("dev/token", { subject: "grace" });
    return this.#post(path, { client: "00000000000000000000000000000001", ...body }, token);
  }

  /** @param {string} path @param {unknown} body @param {string} [token] */
  async #post(path, body, token) {
    const headers = {
      "content-type": "application/json",
      ...(token && { authorization: `Bearer ${token}` }),
    };
    const answer = await fetch(`${this.url}/${path}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    if (!answer.ok) {
      throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    }
    return answer.json();
  }
}
