import { type Arguments, READS, TICKETED } from "../calls.js";
import { realtimeError } from "../errors.js";
import type { Engine, EngineOptions, OpenEngine, WireEvent, WireStatus } from "../seam.js";
import type { Role } from "../types.js";
import { Channel } from "./channel.js";
import { Drafts } from "./drafts.js";
import { deferred } from "./deferred.js";
import { listed } from "./held.js";
import type { Host } from "./host.js";
import { Leader, type Seat } from "./leader.js";
import { LeaderLock } from "./lock.js";
import { LOGGED_OUT, isLoaded, withRole } from "./shown.js";
import { sealed } from "./sealed.js";
import type { Submissions } from "./submissions.js";
import { type Message, VERSIONS, type Versions, common } from "./protocol.js";

/** Milliseconds between two questions whether the leader is there. */
const PING = 2_000;
/** Questions in a row without an answer after which it is not. They are counted rather than timed, as a machine that
 * slept has missed a lot of time and nothing else. */
const SILENCES = 2;
/** Milliseconds before the engine is opened again, when another tab was quicker. */
const PAUSE = 200;

/** Opens engines that all tabs of an origin share. */
export function shared(open: OpenEngine, host: Host, versions: Versions = VERSIONS): OpenEngine {
  return async (...start) => {
    const tab = new Tab(open, host, versions, start);
    await tab.start();
    return tab.engine;
  };
}

/**
 * One tab. It has the engine itself, as the leader, or speaks with the leader's: what uses it need not know, and is
 * not disturbed when that changes.
 *
 * The leader holds a Web Lock for which all others stand in line, so that its end is noticed at once. One that is
 * there and does not answer (it is frozen, or stuck) is deprived of the lock by a follower that is looked at or waits
 * for something; from then on the store takes nothing more from it.
 */
class Tab implements Seat {
  readonly #open: OpenEngine;
  readonly #host: Host;
  readonly #versions: Versions;
  readonly #start: Parameters<OpenEngine>;
  readonly #name: string;
  /** Without a hyphen, which separates the parts of a draft's key. */
  readonly #id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16)).join("");
  readonly #drafts: Drafts;
  readonly #ready = deferred();
  #lock: LeaderLock | undefined;
  #channel: Channel | undefined;
  #away: (() => void) | undefined;
  #unlisten: (() => void) | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  #role: Role = "follower";
  #leader: Leader | undefined;
  /** The tab that this one follows. */
  #following: string | undefined;
  #silences = 0;
  /** The leader's messages are too new for this tab. */
  #outdated = false;
  #stopped = false;
  /** What the engine, wherever it is, said last. */
  #state: Record<string, string> = {};
  readonly #views = new Map<number, string>();
  /** Open live queries, by their names here. */
  readonly #queries = new Map<number, Arguments>();

  constructor(open: OpenEngine, host: Host, versions: Versions, start: Parameters<OpenEngine>) {
    this.#open = open;
    this.#host = host;
    this.#versions = versions;
    this.#start = start;
    this.#name = (JSON.parse(start[0]) as EngineOptions).name;
    this.#drafts = new Drafts(
      this.#id,
      () => this.#submissions(),
      (events) => this.tell(events),
      () => this.#drafted(),
    );
  }

  /** The engine as others see it. */
  readonly engine = new Proxy({} as Engine, {
    // A promise that resolves with this asks whether it is a promise, too.
    get: (_, method) =>
      typeof method === "string" && method !== "then"
        ? (...args: unknown[]) => this.#call(method, args)
        : undefined,
  });

  /** Resolves when there is an engine to speak with, here or elsewhere. */
  async start(): Promise<void> {
    this.#unlisten = this.#host.listen(
      () => this.#leave(),
      () => this.#join(),
    );
    this.#join();
    await this.#ready.promise;
  }

  tell(events: WireEvent[]): void {
    const [, , hear] = this.#start;
    hear(JSON.stringify(events));
  }

  post(message: Message, to?: string): void {
    // What this tab left in the store before it became the leader is answered as any other tab's.
    if (to === this.#id) {
      this.#hearLeader(message);
    } else {
      this.#channel?.post(message, to);
    }
  }

  readonly living = async (): Promise<ReadonlySet<string>> => {
    const prefix = this.#lockName("tab:");
    const { held = [] } = (await this.#host.locks?.query()) ?? {};
    const names = held.map(({ name = "" }) => name).filter((name) => name.startsWith(prefix));
    return new Set(names.map((name) => name.slice(prefix.length)));
  };

  fenced(method: string, args: Arguments): void {
    if (this.#role !== "alone") {
      this.#draft(method, args);
      return;
    }
    this.#leader?.call("setNetwork", [false]);
    const message = "another tab has taken over the storage; nothing of this was kept";
    const refusal = { code: "in_use", message, retryable: true };
    this.tell([{ refused: [args[0] as number, refusal] }]);
  }

  failed(): void {
    this.#end();
  }

  #call(method: string, args: Arguments): unknown {
    if (method === "stop" || method === "free") {
      return method === "stop" ? this.#stop() : undefined;
    }
    if (method === "endEverywhere") {
      this.post({ end: true });
      return this.#stop();
    }
    if (method === "openQuery") {
      this.#queries.set(args[0] as number, args);
    } else if (method === "closeQuery") {
      this.#queries.delete(args[0] as number);
    }
    const answer = this.#leader ? this.#leader.call(method, args) : this.#remote(method, args);
    if (method === "view") {
      return this.#newest(args[0] as number, answer as string | undefined);
    }
    if (method === "closeQuery") {
      this.#views.delete(args[0] as number);
    }
    return method === "status" ? withRole(answer as string, this.#role, this.#outdated) : answer;
  }

  /** A call while the engine is elsewhere. */
  #remote(method: string, args: Arguments): unknown {
    if (TICKETED.has(method)) {
      return this.#draft(method, args);
    }
    if (method === "view") {
      return this.#views.get(args[0] as number);
    }
    if (method === "unsettled") {
      return listed(this.#state[method] ?? "[]");
    }
    if (args.length === 0 && (method in READS || method in this.#state)) {
      return this.#state[method] ?? READS[method];
    }
    if (method === "setNetwork") {
      // Also for the next leader, if it is this tab.
      this.#setStatus({ network: args[0] as boolean });
    }
    // Queries are opened again by whoever leads next; other calls are hints.
    this.#toLeader({ call: [method, ...args] });
    return undefined;
  }

  #draft(method: string, args: Arguments): void {
    this.#drafts.add(method, args);
  }

  #drafted(): void {
    this.post({ waiting: true });
    // If this tab has become the leader meanwhile, it is the one to be told.
    this.#leader?.hear({ waiting: true }, this.#id);
  }

  #toLeader(message: Message): void {
    if (this.#following !== undefined) {
      this.post(message, this.#following);
    }
  }

  /** An engine that was just opened has to read first; until then the last view stands. */
  #newest(query: number, text: string | undefined): string | undefined {
    const before = this.#views.get(query);
    if (text === undefined || (before !== undefined && !isLoaded(text))) {
      return before;
    }
    if (this.#leader) {
      this.#views.delete(query);
    }
    return text;
  }

  #setStatus(change: Partial<WireStatus>): void {
    const status = JSON.parse(this.#state["status"] ?? "{}") as WireStatus;
    this.#state["status"] = JSON.stringify({ ...status, ...change });
  }

  #join(): void {
    if (this.#stopped || this.#channel || this.#role === "alone") {
      return;
    }
    const { locks } = this.#host;
    const line = locks && this.#host.channel(this.#lockName());
    if (!locks || !line) {
      this.#goAlone();
      return;
    }
    this.#channel = new Channel(line, this.#id, this.#versions, (...heard) => this.#hear(...heard));
    const here = new Promise<void>((away) => (this.#away = away));
    // Says to the leader, for as long as it is held, that this tab lives.
    locks.request(this.#lockName(`tab:${this.#id}`), () => here).catch(() => undefined);
    this.#lock = new LeaderLock(locks, this.#lockName(), {
      granted: () => void this.#lead(),
      stolen: () => void this.#yield().then(() => this.#enqueue()),
      denied: () => this.#goAlone(),
    });
    this.#enqueue();
    this.#timer = setInterval(() => this.#listenForLeader(), PING);
  }

  /** Without the means to agree with other tabs; or with a store that only this one has. */
  #goAlone(leader?: Leader): void {
    this.#role = "alone";
    this.#leave();
    this.#lock = undefined;
    this.#leader = leader;
    if (!leader) {
      void this.#lead();
    }
  }

  /** Lets go of all that other tabs could wait for. */
  #leave(): void {
    if (!this.#channel) {
      return;
    }
    clearInterval(this.#timer);
    void this.#yield();
    this.#lock?.release();
    this.#away?.();
    this.#channel.close();
    this.#channel = undefined;
    this.#following = undefined;
    this.#drafts.close();
  }

  #enqueue(): void {
    if (this.#channel && !this.#stopped && !this.#lock?.held) {
      this.#silences = 0;
      this.#lock?.request();
      this.post({ hello: true });
    }
  }

  #listenForLeader(): void {
    if (this.#lock?.held) {
      return;
    }
    const impatient = this.#host.visible() || this.#drafts.waiting || this.#following === undefined;
    if (this.#drafts.waiting && this.#outdated) {
      void this.#drafts.review();
    }
    if (!impatient || this.#outdated) {
      this.#silences = 0;
    } else if (this.#silences < SILENCES) {
      this.#silences += 1;
      this.post(this.#following === undefined ? { hello: true } : { ping: true });
    } else {
      this.#lock?.request(true);
    }
  }

  #hear(message: Message, from: string, versions: Versions): void {
    if ("end" in message) {
      this.tell([{ incident: { type: "loggedOut", error: LOGGED_OUT } }]);
      void this.#stop();
      return;
    }
    if (this.#lock?.held) {
      this.#hearAsLeader(message, from, versions);
      return;
    }
    if ("lead" in message || "pong" in message) {
      this.#silences = 0;
    }
    if ("lead" in message) {
      this.#follow(from, versions);
    } else if (from === this.#following) {
      this.#hearLeader(message);
    }
  }

  #hearAsLeader(message: Message, from: string, versions: Versions): void {
    if ("ping" in message || "hello" in message) {
      const known = "ping" in message && this.#leader?.leads(from);
      this.post(this.#leader && !known ? { lead: true } : { pong: true }, from);
    } else if ("retire" in message) {
      // It takes the lock itself, which ends this tab's turn.
      this.#outdated = this.#versions[1] < versions[0];
    } else if ("attach" in message && common(this.#versions, versions) !== undefined) {
      if (!this.#leader?.leads(from)) {
        this.#awaitEnd(from);
      }
      this.#leader?.hear(message, from);
    } else {
      this.#leader?.hear(message, from);
    }
  }

  /** Tells the leader when the lock that another tab holds for its life is free. */
  #awaitEnd(tab: string): void {
    const leader = this.#leader;
    const gone = () => leader?.gone(tab);
    // Shared, as a leader that sleeps may have asked before.
    const options = { mode: "shared" } as const;
    this.#host.locks?.request(this.#lockName(`tab:${tab}`), options, gone).catch(() => undefined);
  }

  #follow(leader: string, versions: Versions): void {
    if (common(this.#versions, versions) === undefined) {
      if (this.#versions[1] > versions[1]) {
        this.post({ retire: true }, leader);
        this.#lock?.request(true);
      } else {
        this.#following = undefined;
        this.#outdated = true;
        this.#ready.resolve();
        this.tell(["statusChanged"]);
      }
      return;
    }
    this.#following = leader;
    this.#outdated = false;
    this.post({ attach: true }, leader);
    this.#queries.forEach((args) => this.#toLeader({ call: ["openQuery", ...args] }));
    void this.#drafts.review().then(() => this.post({ waiting: true }));
  }

  #hearLeader(message: Message): void {
    if ("state" in message) {
      this.#state = message.state;
      this.#role = "follower";
      this.#ready.resolve();
      this.tell(["statusChanged", "conflictsChanged"]);
    } else if ("view" in message) {
      const [query, text] = message.view;
      if (this.#queries.has(query)) {
        this.#views.set(query, this.#newest(query, text) ?? text);
        this.tell([{ viewChanged: query }]);
      }
      this.#toLeader({ seen: query });
    } else if ("events" in message) {
      message.events.forEach((event) => this.#take(event));
    }
  }

  #take(event: WireEvent): void {
    if (typeof event === "object" && "refused" in event) {
      void this.#drafts.refused(event.refused[0], event);
      return;
    }
    this.tell([event]);
    if (typeof event === "object" && "submitted" in event) {
      this.#drafts.answered(event.submitted[0]);
    }
  }

  /** Opens the engine. The lock is held, or there are no locks. */
  async #lead(): Promise<void> {
    this.#following = undefined;
    const lock = this.#lock;
    const isOurs = () => !this.#stopped && (lock === undefined || (lock === this.#lock && lock.held));
    // Whoever was about to take the lock sees that somebody has.
    this.post({ pong: true });
    const leader = new Leader(this);
    while (isOurs()) {
      try {
        const [options, token, , ...rest] = this.#start;
        const engine = await this.#open(options, token, leader.heard, ...rest);
        const { durable } = JSON.parse(engine.status()) as WireStatus;
        const submissions = durable && lock ? await this.#submissions().catch(() => undefined) : undefined;
        if (isOurs()) {
          this.#begin(leader, engine, submissions);
        } else {
          submissions?.close();
          await engine.stop();
        }
        return;
      } catch (error) {
        const { code } = realtimeError(error);
        if (code !== "fenced") {
          this.#ready.reject(error);
          this.#leave();
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    }
  }

  #begin(leader: Leader, engine: Engine, submissions: Submissions | undefined): void {
    const { network } = JSON.parse(this.#state["status"] ?? "{}") as Partial<WireStatus>;
    if (network === false) {
      engine.setNetwork(false);
    }
    this.#outdated = false;
    if (submissions) {
      this.#leader = leader;
      this.#role = "leader";
    } else {
      // What is kept in memory cannot be shared: every tab has a client of its own.
      this.#goAlone(leader);
    }
    leader.start(engine, submissions);
    this.#queries.forEach((args) => leader.call("openQuery", args));
    this.#ready.resolve();
    this.tell(["statusChanged"]);
    if (submissions) {
      this.post({ lead: true });
      void this.#drafts.review();
    }
  }

  /** Gives the engine up to whoever leads next, and keeps what it showed. */
  async #yield(): Promise<void> {
    const leader = this.#leader;
    if (!leader || this.#role === "alone") {
      return;
    }
    this.#state = leader.state();
    for (const query of this.#queries.keys()) {
      const text = this.#newest(query, leader.call("view", [query]) as string | undefined);
      if (text !== undefined) {
        this.#views.set(query, text);
      }
    }
    this.#leader = undefined;
    this.#role = "follower";
    this.tell(["statusChanged"]);
    await leader.stop();
  }

  async #stop(): Promise<void> {
    const leader = this.#leader;
    this.#leader = undefined;
    await leader?.end();
    this.#end();
  }

  #end(): void {
    this.#stopped = true;
    this.#unlisten?.();
    this.#leave();
  }

  async #submissions(): Promise<Submissions> {
    return sealed(await this.#host.submissions(this.#name), this.#start[3]);
  }

  #lockName(part?: string): string {
    return `webwaka:${this.#name}${part === undefined ? "" : `:${part}`}`;
  }
}
