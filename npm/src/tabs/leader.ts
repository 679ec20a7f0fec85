import { type AnyEngine, type Arguments, OF_QUERY, READS, TICKETED } from "../calls.js";
import { isStorageIncident } from "../incident.js";
import type { Engine, WireEvent } from "../seam.js";
import { Adoption } from "./adoption.js";
import { Held } from "./held.js";
import { draftOf } from "./drafts.js";
import type { Message } from "./protocol.js";
import { Names, type Owned } from "./names.js";
import type { Submissions } from "./submissions.js";

/** A call whose answer is awaited: the leader's own, or one that was found in the store. */
interface Ticket extends Owned {
  method: string;
  args: Arguments;
  /** Its key in the store, if it was found there. */
  key?: string;
  /** Its tab is gone. */
  orphan?: boolean;
}

/** Events after which followers have other answers to read. */
const OF_STATE: ReadonlySet<unknown> = new Set(["statusChanged", "conflictsChanged", "identityRenewed"]);

/** A live query. One view of it at a time is on its way to its tab: a tab that is slow or asleep gets the newest. */
interface Query extends Owned {
  sent: boolean;
  stale: boolean;
}

/** What a leader needs of the tab it is in. */
export interface Seat {
  /** Tells this tab's application. */
  tell(events: WireEvent[]): void;
  /** Tells another tab, or all of them. */
  post(message: Message, to?: string): void;
  /** The engine is beyond repair. */
  failed(): void;
  /** The engine was restarted, and reads anew what is followed. */
  reopened(): void;
  /** Another tab has taken the store over. */
  overtaken(): void;
  /** The tabs of this client that there are. */
  living(): Promise<ReadonlySet<string>>;
  /** What a tab that comes now should know. */
  standing(): WireEvent[];
  /** How an operation ended, if this tab has heard of it. */
  end(seq: number): WireEvent | undefined;
  /** A call of this tab's application was not done, as another tab has taken the store over; nothing was kept. */
  fenced(method: string, args: Arguments): void;
}

/**
 * The engine, and all the tabs that use it. Calls come from the leader's own tab and from followers; tickets and
 * queries get names of the leader's, and what the engine tells goes to whom it concerns.
 */
export class Leader {
  readonly #seat: Seat;
  #engine: AnyEngine | undefined;
  readonly #early: string[] = [];
  readonly #tickets = new Names<Ticket>();
  readonly #queries = new Names<Query>();
  readonly #followers = new Set<string>();
  #held = new Held("[]");
  #adoption: Adoption | undefined;
  #drained: (() => void) | undefined;
  #up = false;

  constructor(seat: Seat) {
    this.#seat = seat;
  }

  /** Takes the engine. Events may come before. */
  start(engine: Engine, submissions?: Submissions): void {
    this.#engine = engine as unknown as AnyEngine;
    this.#held = new Held(engine.unsettled());
    if (submissions) {
      const seat = { adopt: (...found: [string, string, boolean]) => this.#adopt(...found) };
      this.#adoption = new Adoption(submissions, seat, () => this.#seat.living());
    }
    this.#early.splice(0).forEach((json) => this.heard(json));
  }

  /** A call of this tab's application. */
  call(method: string, args: Arguments): unknown {
    if (TICKETED.has(method) || method === "say") {
      return this.#ask({ tab: undefined, name: args[0] as number, method, args });
    }
    if (method === "openQuery") {
      return this.#openQuery(undefined, args);
    }
    if (method === "closeQuery") {
      return this.#closeQuery(undefined, args[0] as number);
    }
    if (method === "view") {
      const name = this.#queries.of(undefined, args[0] as number);
      return name === undefined ? undefined : this.#call(method, [name]);
    }
    if (method === "recall") {
      return this.#seat.tell(this.#recall(args));
    }
    if (OF_QUERY.has(method)) {
      return this.#ofQuery(undefined, method, args);
    }
    return this.#call(method, args);
  }

  /** Opens the live queries of this tab's application anew; one that the engine dies of is refused. */
  reopen(queries: readonly Arguments[]): void {
    for (const args of queries) {
      try {
        this.#openQuery(undefined, args);
      } catch {
        this.#seat.tell([{ queryRefused: args[0] as number }]);
      }
    }
  }

  /** What another tab says. */
  hear(message: Message, from: string): void {
    if ("attach" in message) {
      // It may have followed before, and been forgotten or have forgotten: it opens its queries anew.
      this.#closeQueries(from);
      this.#followers.add(from);
      this.#seat.post({ state: this.state() }, from);
      this.#seat.post({ events: [...this.#seat.standing(), "reattached"] }, from);
      this.#adoption?.look();
    } else if ("call" in message) {
      this.#callOf(from, message.call);
    } else if ("seen" in message) {
      const name = this.#queries.of(from, message.seen);
      const query = name === undefined ? undefined : this.#queries.get(name);
      if (name !== undefined && query) {
        query.sent = false;
        this.#show(name, query);
      }
    } else if ("waiting" in message) {
      this.#adoption?.look();
    }
  }

  /** A tab is gone. What it left in the store is adopted all the same. */
  gone(tab: string): void {
    this.#followers.delete(tab);
    this.#closeQueries(tab);
    this.#adoption?.gone();
  }

  /** Whether a tab is among those that follow. */
  leads(tab: string): boolean {
    return this.#followers.has(tab);
  }

  /** What a follower can read without asking. */
  state(): Record<string, string> {
    const state = Object.entries(READS).map(([method, nothing]) => [
      method,
      (this.#call(method, []) as string | undefined) ?? nothing,
    ]);
    return { ...(Object.fromEntries(state) as Record<string, string>), unsettled: this.#held.ranges() };
  }

  /** Events of the engine, as JSON text. */
  readonly heard = (json: string): void => {
    if (!this.#engine) {
      // What keeps the engine from opening is told while it does.
      const incidents = (JSON.parse(json) as WireEvent[]).filter(isStorageIncident);
      if (incidents.length > 0) {
        this.#seat.tell(incidents);
        this.#seat.post({ events: incidents });
      } else {
        this.#early.push(json);
      }
      return;
    }
    const own: WireEvent[] = [];
    const forAll: WireEvent[] = [];
    const answers = new Map<string, WireEvent[]>();
    for (const event of JSON.parse(json) as WireEvent[]) {
      if (event === "statusChanged" || event === "conflictsChanged") {
        own.push(event);
      } else if (event === "fenced") {
        this.#seat.overtaken();
      } else if (event === "reattached") {
        this.#seat.reopened();
        own.push(event);
        forAll.push(event);
      } else if (typeof event !== "object") {
        own.push(event);
        forAll.push(event);
      } else if ("submitted" in event || "refused" in event) {
        if ("submitted" in event) {
          this.#held.add(event.submitted[1]);
        }
        this.#answer(event, own, answers);
      } else if ("sent" in event || "unsent" in event) {
        const [name, value] = "sent" in event ? event.sent : event.unsent;
        const ticket = this.#tickets.take(name);
        if (ticket) {
          const answer = "sent" in event ? { sent: [ticket.name, value] } : { unsent: [ticket.name, value] };
          this.#put(ticket.tab, answer as WireEvent, own, answers);
        }
      } else if ("viewChanged" in event || "queryRefused" in event) {
        this.#viewEvent(event, own, answers);
      } else {
        own.push(event);
        if ("settled" in event) {
          this.#held.delete(event.settled[0]);
        }
        if (!("incident" in event)) {
          forAll.push(event);
        }
      }
    }
    // Before the events, so that who hears of an end no longer finds what has ended.
    if (own.some((event) => OF_STATE.has(event))) {
      this.#statusChanged();
    }
    if (forAll.length > 0 && this.#followers.size > 0) {
      this.#seat.post({ events: forAll });
    }
    answers.forEach((events, tab) => this.#tellFollower(tab, events));
    if (own.length > 0) {
      this.#seat.tell(own);
    }
    if (own.some((event) => typeof event === "object" && "incident" in event && isTheEnd(event))) {
      this.#seat.failed();
    }
    if (this.#drained && !this.#tickets.entries().some(([, { key }]) => key === undefined)) {
      this.#drained();
    }
  };

  /**
   * Gives the engine up: nothing is sent from now on, and what this tab has asked for is still answered. What
   * another leader's term has cut off is handed to the next.
   */
  async stop(): Promise<void> {
    this.#adoption?.stop();
    this.#followers.clear();
    this.#call("setNetwork", [false]);
    // Should it die of what is still to be answered, or be about to come to life again: the store is another's.
    this.#call("lastLife", []);
    if (this.#tickets.entries().some(([, { key }]) => key === undefined)) {
      await new Promise<void>((drained) => (this.#drained = drained));
    }
    await this.end();
  }

  /** Ends the engine at once. */
  async end(): Promise<void> {
    const engine = this.#engine;
    this.#adoption?.stop();
    this.#engine = undefined;
    await engine?.["stop"]?.();
    engine?.["free"]?.();
  }

  #call(method: string, args: Arguments): unknown {
    return this.#engine?.[method]?.(...args);
  }

  #ask(ticket: Ticket): unknown {
    const name = this.#tickets.give(ticket);
    try {
      if (ticket.key !== undefined) {
        this.#call("adopt", [name, ticket.key, ticket.orphan]);
      }
      return this.#call(ticket.method, [name, ...ticket.args.slice(1)]);
    } catch (error) {
      this.#tickets.take(name);
      throw error;
    }
  }

  /** Does what was found in the store. */
  #adopt(key: string, text: string, orphan: boolean): void {
    const draft = draftOf(text);
    if (!draft || !TICKETED.has(draft.method)) {
      return;
    }
    const { tab, ticket: name, method } = draft;
    try {
      this.#ask({ tab, name, method, args: [name, ...draft.args], key, orphan });
    } catch (error) {
      const { code = "failed", message = "", retryable = false } = error as Record<string, never>;
      this.#adoption?.refused(key);
      this.#tellFollower(tab, [{ refused: [name, { code, message, retryable }] }]);
    }
  }

  /** What has become of these operations, as far as anybody remembers. */
  #recall(seqs: Arguments): WireEvent[] {
    const ended = (seqs as number[]).filter((seq) => !this.#held.has(seq));
    return ended.map((seq) => this.#seat.end(seq) ?? { forgotten: seq });
  }

  #callOf(tab: string, [method, ...args]: [string, ...unknown[]]): void {
    if (!this.#followers.has(tab)) {
      return;
    }
    if (method === "openQuery") {
      try {
        this.#openQuery(tab, args);
      } catch {
        // The engine has died of it, or there are too many.
        this.#tellFollower(tab, [{ queryRefused: args[0] as number }]);
      }
    } else if (method === "closeQuery") {
      this.#closeQuery(tab, args[0] as number);
    } else if (method === "recall") {
      this.#tellFollower(tab, this.#recall(args));
    } else if (method === "say") {
      this.#ask({ tab, name: args[0] as number, method, args });
    } else if (OF_QUERY.has(method)) {
      this.#ofQuery(tab, method, args);
    } else {
      this.#call(method, args);
    }
  }

  #openQuery(tab: string | undefined, [name, ...args]: Arguments): unknown {
    const given = this.#queries.give({ tab, name: name as number, sent: false, stale: false });
    try {
      return this.#call("openQuery", [given, ...args]);
    } catch (error) {
      this.#queries.take(given);
      throw error;
    }
  }

  #ofQuery(tab: string | undefined, method: string, [name, ...rest]: Arguments): void {
    const given = this.#queries.of(tab, name as number);
    if (given !== undefined) {
      this.#call(method, [given, ...rest]);
    }
  }

  #closeQuery(tab: string | undefined, name: number): void {
    const given = this.#queries.of(tab, name);
    if (given !== undefined) {
      this.#queries.take(given);
      this.#call("closeQuery", [given]);
    }
  }

  #closeQueries(tab: string): void {
    for (const [name, query] of this.#queries.entries()) {
      if (query.tab === tab) {
        this.#queries.take(name);
        this.#call("closeQuery", [name]);
      }
    }
  }

  #answer(
    event: Extract<WireEvent, { submitted: unknown } | { refused: unknown }>,
    own: WireEvent[],
    answers: Map<string, WireEvent[]>,
  ): void {
    const [name] = "submitted" in event ? event.submitted : event.refused;
    const ticket = this.#tickets.take(name);
    if (!ticket) {
      return;
    }
    const fenced = "refused" in event && event.refused[1].code === "fenced";
    const restarted = "refused" in event && event.refused[1].code === "engine_restarted";
    if (ticket.key !== undefined) {
      if ("submitted" in event) {
        this.#adoption?.adopted(ticket.key);
      } else if (fenced || restarted) {
        // It is in the store still, or its receipt is.
        this.#adoption?.again(ticket.key);
        return;
      } else {
        this.#adoption?.refused(ticket.key);
        if (ticket.orphan && !event.refused[1].retryable) {
          // What could be kept the engine has kept, and said so.
          this.#adoption?.drop(ticket.key);
        }
      }
    } else if (fenced) {
      this.#seat.fenced(ticket.method, ticket.args);
      return;
    }
    const answer: WireEvent =
      "submitted" in event
        ? { submitted: [ticket.name, event.submitted[1]] }
        : { refused: [ticket.name, event.refused[1]] };
    this.#put(ticket.tab, answer, own, answers);
  }

  #viewEvent(
    event: Extract<WireEvent, { viewChanged: unknown } | { queryRefused: unknown }>,
    own: WireEvent[],
    answers: Map<string, WireEvent[]>,
  ): void {
    const refused = "queryRefused" in event;
    const name = refused ? event.queryRefused : event.viewChanged;
    const query = refused ? this.#queries.take(name) : this.#queries.get(name);
    if (!query) {
      return;
    }
    if (refused) {
      this.#put(query.tab, { queryRefused: query.name }, own, answers);
    } else if (query.tab === undefined) {
      own.push({ viewChanged: query.name });
    } else {
      query.stale = true;
      this.#show(name, query);
    }
  }

  #put(tab: string | undefined, event: WireEvent, own: WireEvent[], answers: Map<string, WireEvent[]>): void {
    if (tab === undefined) {
      own.push(event);
    } else {
      answers.set(tab, [...(answers.get(tab) ?? []), event]);
    }
  }

  /** Whoever hears that an edit is saved sees it, too: views that were held back go first. */
  #tellFollower(tab: string, events: WireEvent[]): void {
    for (const [name, query] of this.#queries.entries()) {
      if (query.tab === tab && query.stale) {
        query.sent = false;
        this.#show(name, query);
      }
    }
    this.#seat.post({ events }, tab);
  }

  #show(name: number, query: Query): void {
    if (query.tab === undefined || query.sent || !query.stale) {
      return;
    }
    const text = this.#call("view", [name]);
    if (typeof text === "string") {
      query.sent = true;
      query.stale = false;
      this.#seat.post({ view: [query.name, text] }, query.tab);
    }
  }

  #statusChanged(): void {
    const state = this.state();
    if (this.#followers.size > 0) {
      this.#seat.post({ state });
    }
    const up = /"link":"(up|degraded)"/.test(state["status"] ?? "");
    if (up && !this.#up) {
      this.#adoption?.look();
    }
    this.#up = up;
  }
}

function isTheEnd({ incident }: Extract<WireEvent, { incident: unknown }>): boolean {
  return incident.type === "engineFailed";
}
