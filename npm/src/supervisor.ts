import { type AnyEngine, type Arguments, OF_QUERY, READS, TICKETED, engineOf, movedOn } from "./calls.js";
import { RealtimeError, realtimeError } from "./errors.js";
import type { Instance } from "./instance.js";
import type { OpenEngine, Rules, Sender, WireEvent, WireStatus } from "./seam.js";
import type { Encryption } from "./types.js";

/** Restarts within `WINDOW` milliseconds after which it is no accident any more. */
const MOST_RESTARTS = 5;
const WINDOW = 60_000;
/** Milliseconds between two attempts, once the first has failed. */
const PAUSE = 500;
/** Calls that wait for an engine that is being restarted; one more is refused. */
const MOST_WAITING = 1_024;

/** An edit, or an event. */
interface Unsettled {
  seq: number;
  doc?: [collection: string, id: string];
  intents?: unknown[];
  topic?: string;
  event?: object;
}

/** Whether a call asked for what is stored. */
function madeBy([method, [, target, id, , work]]: [string, Arguments], stored: Unsettled): boolean {
  const { doc, intents, topic, event } = stored;
  const wanted = doc ? [doc, intents] : [[topic, id], event];
  return method === "submit" && canonical(wanted) === canonical([[target, id], JSON.parse(work as string)]);
}

/** Opens engines that outlive the instance they run in: after a trap a new one goes on from what is stored. */
export function supervised(launch: () => Instance): OpenEngine {
  return async (options, token, events, encryption, rules) => {
    const supervisor = new Supervisor(launch, options, token, events, encryption, rules);
    await supervisor.start();
    return supervisor.engine;
  };
}

/**
 * Stands between the application and an engine. It remembers what is not in the store: the live queries, whether
 * the network is allowed, and which tickets are open.
 *
 * After a trap the old instance does nothing any more and a new one loads the store. A submission that no event
 * had answered is looked for there, as its commit may have been under way, and is refused with `engine_restarted`
 * if it is not found. What is called in the meantime waits, within bounds.
 */
class Supervisor {
  readonly #launch: () => Instance;
  readonly #options: string;
  readonly #token: Sender;
  readonly #tell: (json: string) => void;
  readonly #encryption: Encryption | undefined;
  readonly #rules: Rules | undefined;

  #instance: Instance | undefined;
  #running: AnyEngine | undefined;
  #over: "stopped" | "failed" | undefined;
  /** No instance comes after the one there is. */
  #last = false;
  readonly #answers: Record<string, string> = { ...READS, unsettled: "[]" };
  readonly #queries = new Map<unknown, Arguments>();
  #network: Arguments | undefined;
  /** Calls by their ticket that no event has answered yet. */
  readonly #open = new Map<number, [method: string, args: Arguments]>();
  /** No later operation is known to the application. */
  #newest = 0;
  #waiting: [method: string, args: Arguments, adopted: Arguments | undefined][] = [];
  /** What the next call with the same ticket was found as. It goes with that call, or an engine could get one of the two. */
  #adopted: Arguments | undefined;
  #restarts: number[] = [];

  constructor(
    launch: () => Instance,
    options: string,
    token: Sender,
    tell: (json: string) => void,
    encryption: Encryption | undefined,
    rules: Rules | undefined,
  ) {
    this.#launch = launch;
    this.#options = options;
    this.#token = token;
    this.#tell = tell;
    this.#encryption = encryption;
    this.#rules = rules;
  }

  /** The engine as others see it. */
  readonly engine = engineOf((method, args) => this.#call(method, args));

  async start(): Promise<void> {
    const instance = this.#launch();
    const running = await instance.open(
      this.#options,
      this.#token,
      (json) => this.#heard(json),
      this.#encryption,
      this.#rules,
    );
    if (this.#over) {
      await running.stop();
      return;
    }
    const durable = (text: string | undefined) => (JSON.parse(text ?? "{}") as Partial<WireStatus>).durable;
    if (durable(this.#answers["status"]) && !durable(running.status())) {
      // What is stored is not lost because it cannot be opened at this moment.
      await running.stop();
      throw new RealtimeError("storage_unavailable", "the storage of this device cannot be opened");
    }
    this.#instance = instance;
    this.#running = running as unknown as AnyEngine;
    for (const read of ["status", "clientId"]) {
      this.#call(read, []);
    }
    void instance.death.then((trap) => this.#restart(trap));
  }

  #call(method: string, args: Arguments): unknown {
    if (method === "stop" || method === "free") {
      return this.#end(method);
    }
    if (this.#over) {
      return this.#answers[method] ?? fail("engine_failed");
    }
    if (method === "lastLife") {
      this.#last = true;
      if (!this.#alive()) {
        this.#handOver();
      }
      return undefined;
    }
    if (method === "adopt") {
      this.#adopted = args;
      return undefined;
    }
    const ticket = TICKETED.has(method) ? (args[0] as number) : undefined;
    const adopted = ticket === undefined || this.#adopted?.[0] !== ticket ? undefined : this.#adopted;
    if (!this.#alive()) {
      return this.#away(method, args, adopted);
    }
    if (ticket !== undefined) {
      this.#open.set(ticket, [method, args]);
    }
    try {
      if (adopted) {
        this.#running?.["adopt"]?.(...adopted);
      }
      const answer = this.#running?.[method]?.(...args);
      this.#remember(method, args, answer);
      return answer;
    } catch (error) {
      if (this.#alive()) {
        this.#open.delete(ticket ?? 0);
        throw error;
      }
      // This call is what killed it, and is not made again. Its ticket is answered after the restart.
      return ticket === undefined ? (this.#answers[method] ?? fail("engine_restarted")) : undefined;
    }
  }

  #alive(): boolean {
    return this.#running !== undefined && this.#instance?.dead === false;
  }

  #remember(method: string, args: Arguments, answer: unknown): void {
    if (typeof answer === "string" && args.length === 0) {
      this.#answers[method] = answer;
    } else if (method === "openQuery") {
      this.#queries.set(args[0], args);
    } else if (OF_QUERY.has(method)) {
      const query = this.#queries.get(args[0]);
      if (query) {
        this.#queries.set(args[0], movedOn(query, method, args[1]));
      }
    } else if (method === "closeQuery") {
      this.#queries.delete(args[0]);
    } else if (method === "setNetwork") {
      this.#network = args;
    }
  }

  /** A call while there is no engine. */
  #away(method: string, args: Arguments, adopted: Arguments | undefined): unknown {
    const known = args.length === 0 ? this.#answers[method] : undefined;
    if (known !== undefined || method === "view") {
      return known;
    }
    if (this.#waiting.length === MOST_WAITING) {
      return fail("engine_restarted");
    }
    this.#waiting.push([method, args, adopted]);
    return undefined;
  }

  #heard(json: string): void {
    for (const event of JSON.parse(json) as WireEvent[]) {
      if (typeof event !== "object") {
        continue;
      }
      if ("submitted" in event) {
        this.#open.delete(event.submitted[0]);
        this.#newest = Math.max(this.#newest, event.submitted[1]);
      } else if ("refused" in event) {
        this.#open.delete(event.refused[0]);
      }
    }
    this.#tell(json);
  }

  async #restart(trap: unknown): Promise<void> {
    this.#running = undefined;
    if (this.#last) {
      this.#handOver();
      return;
    }
    const status = JSON.parse(this.#answers["status"] ?? "{}") as WireStatus;
    this.#answers["status"] = JSON.stringify({ ...status, link: "down" });
    this.#tell(JSON.stringify(["statusChanged"]));
    for (let cause = trap; !this.#over;) {
      const now = Date.now();
      this.#restarts = this.#restarts.filter((at) => at > now - WINDOW);
      if (this.#restarts.push(now) > MOST_RESTARTS) {
        this.#fail(cause);
        return;
      }
      try {
        await this.start();
        break;
      } catch (error) {
        cause = error;
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    }
    if (!this.#over) {
      this.#resume(trap);
    }
  }

  #resume(trap: unknown): void {
    const queries = [...this.#queries.values()];
    const waiting = this.#waiting;
    this.#waiting = [];
    if (this.#network) {
      this.#call("setNetwork", this.#network);
    }
    for (const args of queries) {
      try {
        this.#call("openQuery", args);
      } catch {
        // It dies of this one, which is not tried again; whatever else there is goes to the next.
        this.#queries.delete(args[0]);
        this.#tell(JSON.stringify([{ queryRefused: args[0] }]));
      }
    }
    // Before anything is answered: who is to see what an answer is about has to wait until that is read anew.
    this.#tell(JSON.stringify(["reattached"]));
    this.#find();
    this.#report({ incident: { type: "engineRestarted", error: describe("engine_restarted", trap) } });
    for (const [method, args, adopted] of waiting) {
      try {
        this.#adopted = adopted;
        this.#call(method, args);
      } catch (error) {
        const { code, message, retryable } = realtimeError(error);
        this.#report({ refused: [args[0] as number, { code, message, retryable }] });
      }
    }
  }

  /** Answers the tickets whose submissions were stored after all. They got their numbers in order. */
  #find(): void {
    const stored = JSON.parse(this.#call("unsettled", []) as string) as Unsettled[];
    const news = stored.filter(({ seq }) => seq > this.#newest);
    for (const [ticket, call] of [...this.#open]) {
      const at = news.findIndex((stored) => madeBy(call, stored));
      const [found] = at < 0 ? [] : news.splice(0, at + 1).slice(-1);
      if (found) {
        this.#heard(JSON.stringify([{ submitted: [ticket, found.seq] }]));
      }
    }
  }

  /**
   * There is no engine and will be none: to open one would take the store from whoever has it by now. What waits for one
   * was not kept, and is for others to do.
   */
  #handOver(): void {
    this.#over = "stopped";
    const tickets = this.#waiting.map(([method, [ticket]]) =>
      TICKETED.has(method) ? [ticket as number] : [],
    );
    this.#waiting = [];
    const refused = tickets.flat().map((ticket) => ({ refused: [ticket, describe("fenced")] }) as WireEvent);
    this.#tell(JSON.stringify(refused));
    this.#report("statusChanged");
  }

  #fail(cause: unknown): void {
    this.#over = "failed";
    this.#waiting = [];
    this.#report({ incident: { type: "engineFailed", error: describe("engine_failed", cause) } });
  }

  /** Tells of the end of an instance, and answers the tickets that it left open. */
  #report(news: WireEvent): void {
    const refusal = describe("engine_restarted");
    const events = [...this.#open.keys()].map((ticket) => ({ refused: [ticket, refusal] }));
    this.#open.clear();
    this.#tell(JSON.stringify([...events, news, "statusChanged"]));
  }

  #end(method: "stop" | "free"): unknown {
    const running = this.#alive() ? this.#running : undefined;
    this.#over = "stopped";
    if (method === "free") {
      running?.["free"]?.();
      this.#running = undefined;
      return undefined;
    }
    return Promise.race([running?.["stop"]?.(), this.#instance?.death]).then(() => undefined);
  }
}

const MESSAGES = {
  fenced: "another tab has taken over the storage; nothing of this was kept",
  engine_restarted:
    "the engine failed and was restarted while this was being saved; the document shows whether it was kept",
  engine_failed: "the engine fails again and again; what is saved on this device is intact",
} as const;

function describe(code: keyof typeof MESSAGES, cause?: unknown) {
  const { retryable } = new RealtimeError(code, "");
  return { code, retryable, message: MESSAGES[code] + (cause === undefined ? "" : ` (${String(cause)})`) };
}

/** JSON text that does not depend on the order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function fail(code: keyof typeof MESSAGES): never {
  throw new RealtimeError(code, MESSAGES[code]);
}
