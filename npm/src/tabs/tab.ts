import { type Arguments, TICKETED, engineOf } from "../calls.js";
import { type RealtimeError, realtimeError } from "../errors.js";
import { isStorageIncident } from "../incident.js";
import type { Engine, EngineOptions, OpenEngine, WireEvent } from "../seam.js";
import type { Role } from "../types.js";
import { Abreast } from "./abreast.js";
import { Drafts } from "./drafts.js";
import { deferred } from "./deferred.js";
import { Heartbeat } from "./heartbeat.js";
import type { Host } from "./host.js";
import { Leader, type Seat } from "./leader.js";
import { type Member, Membership } from "./membership.js";
import { Mirror } from "./mirror.js";
import { Opening } from "./opening.js";
import { LOGGED_OUT, isLoaded, withRole } from "./shown.js";
import { sealed } from "./sealed.js";
import type { Submissions } from "./submissions.js";
import { Told } from "./told.js";
import { type Message, VERSIONS, type Versions, common } from "./protocol.js";

/** Milliseconds before the engine is opened again, when another tab was quicker or the storage fails. */
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
 * A leader that is there and does not answer (it is frozen, or stuck) is deprived of the lead by a follower that is
 * looked at or waits for something; from then on the store takes nothing more from it.
 */
class Tab implements Seat, Member {
  readonly #opening: Opening;
  readonly #host: Host;
  readonly #versions: Versions;
  readonly #start: Parameters<OpenEngine>;
  readonly #name: string;
  /** Without a hyphen, which separates the parts of a draft's key. */
  readonly #id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16)).join("");
  readonly #members: Membership;
  readonly #heartbeat = new Heartbeat(
    () => this.#beat(),
    // The engine compares its clocks whenever it is called.
    () => this.#leader?.call("wake", []),
  );
  readonly #drafts: Drafts;
  readonly #mirror = new Mirror();
  readonly #told = new Told();
  readonly #abreast = new Abreast((events) => this.#tellNow(events));
  /** The store could not be asked for answers that this tab may not have heard. */
  #unreviewed = false;
  readonly #ready = deferred();
  #unlisten: (() => void) | undefined;

  #role: Role = "follower";
  #leader: Leader | undefined;
  /** The tab that this one follows. */
  #following: string | undefined;
  /** The leader's messages are too new for this tab. */
  #outdated = false;
  #stopped = false;

  constructor(open: OpenEngine, host: Host, versions: Versions, start: Parameters<OpenEngine>) {
    this.#opening = new Opening(open, start, () => this.#submissions());
    this.#host = host;
    this.#versions = versions;
    this.#start = start;
    this.#name = (JSON.parse(start[0]) as EngineOptions).name;
    this.#members = new Membership(host, this.#name, this.#id, versions, this);
    this.#drafts = new Drafts(
      this.#id,
      () => this.#submissions(),
      (events) => this.tell(events),
      () => this.#drafted(),
    );
  }

  /** The engine as others see it. */
  readonly engine = engineOf((method, args) => this.#call(method, args));

  /** Resolves when there is an engine to speak with, here or elsewhere. */
  async start(): Promise<void> {
    this.#unlisten = this.#host.listen(
      () => this.#leave(),
      () => this.#join(),
    );
    this.#heartbeat.start();
    this.#join();
    await this.#ready.promise;
  }

  tell(events: WireEvent[]): void {
    this.#abreast.tell(events);
    for (const event of events) {
      if (typeof event === "object" && "queryRefused" in event) {
        // Nobody follows it any more, nor should a later leader.
        this.#mirror.note("closeQuery", [event.queryRefused]);
        this.#abreast.heard(event.queryRefused);
      }
    }
    if (this.#leader) {
      this.#abreast.look((query) => this.#leader?.call("view", [query]) as string | undefined);
    }
  }

  #tellNow(events: WireEvent[]): void {
    const [, , hear] = this.#start;
    hear(JSON.stringify(events.flatMap((event) => this.#told.take(event))));
  }

  standing(): WireEvent[] {
    return this.#told.standing;
  }

  end(seq: number): WireEvent | undefined {
    return this.#told.end(seq);
  }

  post(message: Message, to?: string): void {
    // What this tab left in the store before it became the leader is answered as any other tab's.
    if (to === this.#id) {
      this.#hearLeader(message);
    } else {
      this.#members.post(message, to);
    }
  }

  living(): Promise<ReadonlySet<string>> {
    return this.#members.living();
  }

  fenced(method: string, args: Arguments): void {
    if (this.#role !== "alone") {
      this.#draft(method, args);
      return;
    }
    const message = "another tab has taken over the storage; nothing of this was kept";
    const refusal = { code: "in_use", message, retryable: true };
    this.tell([{ refused: [args[0] as number, refusal] }]);
  }

  reopened(): void {
    this.#abreast.await(this.#mirror.names);
  }

  overtaken(): void {
    // Whoever took the store was asleep when it lost the lock to this tab, and is about to hear of that.
    if (this.#role !== "alone") {
      void this.yield().then(() => this.#members.resume());
    }
  }

  failed(): void {
    void this.#stop();
  }

  #call(method: string, args: Arguments): unknown {
    if (method === "stop" || method === "free") {
      return method === "stop" ? this.#stop() : undefined;
    }
    if (method === "endEverywhere") {
      this.post({ end: true });
      return this.#stop();
    }
    this.#mirror.note(method, args);
    const answer = this.#leader ? this.#leader.call(method, args) : this.#remote(method, args);
    if (method === "closeQuery") {
      this.#abreast.heard(args[0] as number);
    }
    if (method === "view") {
      return this.#newest(args[0] as number, answer as string | undefined);
    }
    return method === "status" ? withRole(answer as string, this.#role, this.#outdated) : answer;
  }

  /** A call while the engine is elsewhere. */
  #remote(method: string, args: Arguments): unknown {
    if (TICKETED.has(method)) {
      return this.#draft(method, args);
    }
    if (this.#mirror.answers(method, args)) {
      return this.#mirror.answer(method, args);
    }
    if (method === "setNetwork") {
      // Also for the next leader, if it is this tab.
      this.#mirror.network = args[0] as boolean;
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

  /** Until an engine that was just opened has read, the last view stands. */
  #newest(query: number, text: string | undefined): string | undefined {
    const newest = this.#mirror.newest(query, text);
    if (this.#leader && newest === text) {
      this.#mirror.drop(query);
    }
    return newest;
  }

  #join(): void {
    if (!this.#stopped && !this.#members.joined && this.#role !== "alone") {
      this.#members.join();
    }
  }

  alone(): void {
    this.#goAlone();
    void this.lead(() => true);
  }

  /** Without the means to agree with other tabs; or with a store that only this one has. */
  #goAlone(leader?: Leader): void {
    this.#role = "alone";
    this.#drafts.abandon();
    this.#leave();
    this.#leader = leader;
  }

  /** Lets go of all that other tabs could wait for. */
  #leave(): void {
    void this.yield();
    this.#members.leave();
    this.#following = undefined;
    this.#drafts.close();
  }

  #beat(): void {
    if (this.#unreviewed && this.#leader) {
      void this.#review();
    } else if (this.#unreviewed && this.#following !== undefined) {
      void this.#attach(this.#following);
    }
    if (this.#members.leads || !this.#members.joined) {
      return;
    }
    const impatient = this.#host.visible() || this.#drafts.waiting || this.#following === undefined;
    if (this.#drafts.waiting && this.#outdated) {
      void this.#review();
    }
    if (!impatient || this.#outdated) {
      this.#heartbeat.answered();
    } else if (this.#heartbeat.ask()) {
      this.post(this.#following === undefined ? { hello: true } : { ping: true });
    } else {
      this.#members.depose();
    }
  }

  hear(message: Message, from: string, versions: Versions): void {
    if ("end" in message) {
      this.tell([{ incident: { type: "loggedOut", error: LOGGED_OUT } }]);
      void this.#stop();
      return;
    }
    if (this.#members.leads) {
      this.#hearAsLeader(message, from, versions);
      return;
    }
    if ("lead" in message || "pong" in message) {
      this.#heartbeat.answered();
    }
    if ("pong" in message ? from !== this.#following : "hello" in message && from === this.#following) {
      // Somebody else has the lock: a leader that was asleep has said it leads before it heard that. The next beat asks.
      this.#following = undefined;
    }
    if ("lead" in message) {
      this.#follow(from, versions);
    } else if (from === this.#following) {
      this.#hearLeader(message);
    } else if ("events" in message) {
      // Whoever is about to lead tells what keeps the storage from opening.
      this.tell(message.events.filter(isStorageIncident));
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
        const leader = this.#leader;
        this.#members.awaitEnd(from, () => leader?.gone(from));
      }
      this.#leader?.hear(message, from);
    } else {
      this.#leader?.hear(message, from);
    }
  }

  #follow(leader: string, versions: Versions): void {
    if (common(this.#versions, versions) === undefined) {
      if (this.#versions[1] > versions[1]) {
        this.post({ retire: true }, leader);
        this.#members.depose();
      } else {
        this.#following = undefined;
        this.#outdated = true;
        this.#ready.resolve();
        // What is shown stays as it is until the page is reloaded.
        this.#abreast.await([]);
        this.tell(["statusChanged"]);
      }
      return;
    }
    this.#following = leader;
    this.#outdated = false;
    void this.#attach(leader);
  }

  /**
   * Has the leader tell this tab everything. Before that come the answers that were given earlier, which what the leader is
   * about to show contains; those that it gives later it tells together with what they change.
   */
  async #attach(leader: string): Promise<void> {
    this.#abreast.await(["reattached"]);
    await this.#review();
    if (this.#following === leader) {
      this.post({ attach: true }, leader);
      this.#mirror.queries.forEach((args) => this.#toLeader({ call: ["openQuery", ...args] }));
      this.post({ waiting: true });
    }
  }

  #hearLeader(message: Message): void {
    if ("state" in message) {
      this.#mirror.state = message.state;
      if (this.#mirror.durable) {
        this.#opening.durable();
      }
      this.#role = "follower";
      this.#ready.resolve();
      this.tell(["statusChanged", "conflictsChanged"]);
    } else if ("view" in message) {
      const [query, text] = message.view;
      if (this.#mirror.keep(query, text)) {
        this.tell([{ viewChanged: query }]);
      }
      if (isLoaded(text)) {
        this.#abreast.heard(query);
      }
      this.#toLeader({ seen: query });
    } else if ("events" in message) {
      message.events.forEach((event) => this.#take(event));
    }
  }

  #take(event: WireEvent): void {
    if (event === "reattached") {
      this.reopened();
    }
    if (typeof event === "object" && "refused" in event) {
      // Where that is not certain, the store tells later what there is of it.
      void this.#drafts.refused(event.refused[0], event).then((done) => (this.#unreviewed ||= !done));
      return;
    }
    this.tell([event]);
    if (typeof event === "object" && "submitted" in event) {
      this.#drafts.answered(event.submitted[0]);
    }
  }

  /** Opens the engine. */
  async lead(mayLead: () => boolean): Promise<void> {
    this.#following = undefined;
    const isOurs = () => !this.#stopped && mayLead();
    // Whoever was about to take the lock sees that somebody has.
    this.post({ pong: true });
    const leader = new Leader(this);
    while (isOurs()) {
      try {
        const [engine, submissions] = await this.#opening.attempt(leader.heard, this.#role !== "alone");
        if (isOurs()) {
          this.#begin(leader, engine, submissions);
        } else {
          submissions?.close();
          await engine.stop();
        }
        return;
      } catch (error) {
        const failure = realtimeError(error);
        const isOvertaken = failure.code === "fenced";
        if (!isOvertaken && !this.#opening.failed()) {
          this.#giveUp(failure);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        if (!isOvertaken) {
          // Another tab may have more luck; this one is in line again after it.
          this.#leave();
          this.#join();
          return;
        }
      }
    }
  }

  /** There will be no engine: those who wait for one hear it, and so does an application that had one. */
  #giveUp(failure: RealtimeError): void {
    const { code, message, retryable } = failure;
    this.#ready.reject(failure);
    this.tell([{ incident: { type: "engineFailed", error: { code, message, retryable } } }]);
    this.#end();
  }

  #begin(leader: Leader, engine: Engine, submissions: Submissions | undefined): void {
    if (this.#mirror.network === false) {
      engine.setNetwork(false);
    }
    this.#outdated = false;
    this.#abreast.await(["reattached"]);
    if (submissions) {
      this.#leader = leader;
      this.#role = "leader";
    } else {
      // What is kept in memory cannot be shared: every tab has a client of its own.
      this.#goAlone(leader);
    }
    leader.start(engine, submissions);
    leader.reopen(this.#mirror.queries);
    this.#abreast.await(this.#mirror.names);
    this.#ready.resolve();
    this.tell(["statusChanged"]);
    if (submissions) {
      this.post({ lead: true });
      void this.#review();
    }
    this.tell(["reattached"]);
  }

  /** Looks for answers that were given while this tab was away. */
  async #review(): Promise<void> {
    this.#unreviewed = !(await this.#drafts.review());
  }

  /** Gives the engine up to whoever leads next, and keeps what it showed. */
  async yield(): Promise<void> {
    const leader = this.#leader;
    if (!leader || this.#role === "alone") {
      return;
    }
    this.#mirror.state = leader.state();
    for (const [query] of this.#mirror.queries) {
      this.#mirror.keep(query as number, leader.call("view", [query]) as string | undefined);
    }
    this.#leader = undefined;
    this.#role = "follower";
    this.#heartbeat.answered();
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
    this.#heartbeat.stop();
    this.#unlisten?.();
    this.#leave();
  }

  async #submissions(): Promise<Submissions> {
    return sealed(await this.#host.submissions(this.#name), this.#start[3]);
  }
}
