import { RealtimeError, realtimeError } from "./errors.js";
import { isStorageIncident, storageDamaged, storageIncident } from "./incident.js";
import { Listeners } from "./listeners.js";
import { type Amender, SavedOperation, closed, forgotten, outcome } from "./operation.js";
import type {
  Engine,
  WireConflicted,
  WireEvent,
  WireOutcome,
  WireQuery,
  WireRejected,
  WireRoom,
  WireStatus,
  WireUnpublished,
  WireTopic,
  WireView,
} from "./seam.js";
import type { Incident, Outcome } from "./types.js";

/** A message that was said and not answered. */
interface Said {
  resolve(sessions: number): void;
  reject(reason: unknown): void;
}

interface Submission {
  resolve(operation: SavedOperation): void;
  reject(reason: unknown): void;
}

/** Incidents after which there is no engine any more. */
const ENDS: ReadonlySet<Incident["type"]> = new Set(["engineFailed", "loggedOut"]);

/** Someone who follows a live query. */
export interface Follower {
  /** The query shows something else, or has ended. */
  stale(): void;
  /** The engine has too many queries and did not open this one. */
  refuse(error: RealtimeError): void;
  /** After any of these, a microtask later, when callbacks may run. */
  notify(): void;
}

/**
 * The engine with its events put in their places: promises of submissions, handles of operations, live queries,
 * the status.
 *
 * Nothing here is a queue. Submissions and handles are as many as the engine has operations, which it caps;
 * queries are as many as the application has open.
 *
 * Events come while the engine is at work and must not be called again, so they are taken in a microtask; and
 * listeners run in another one after that, once however many events there were.
 */
export class Bridge implements Amender {
  /** Told when the status, the conflicts or the rejected operations have changed; and at the end. */
  readonly status = new Listeners();
  #engine: Engine | undefined;
  /** Why there is no engine any more. */
  #end = new RealtimeError("closed", "the client is closed; nothing was stored");
  readonly #onIncident: ((incident: Incident) => void) | undefined;
  readonly #onRenewed: ((client: string) => void) | undefined;
  #client = "";
  #lastName = 0;
  readonly #schema: number;
  readonly #submissions = new Map<number, Submission>();
  readonly #said = new Map<number, Said>();
  /** Edits that were folded into one operation share its handle. */
  readonly #unsettled = new Map<number, SavedOperation>();
  readonly #queries = new Map<number, Follower>();
  #toNotify: Set<{ notify(): void }> | undefined;
  #statusNow: WireStatus | undefined;

  /**
   * Operations are written for this version of the application's `schema`. `onRenewed` is told when this installation
   * has another id.
   */
  constructor(
    schema: number,
    onIncident?: (incident: Incident) => void,
    onRenewed?: (client: string) => void,
  ) {
    this.#schema = schema;
    this.#onIncident = onIncident;
    this.#onRenewed = onRenewed;
  }

  /** Takes the engine. Events may come before. */
  attach(engine: Engine): void {
    this.#engine = engine;
    this.#client = engine.clientId();
  }

  /** The id of this installation. */
  get client(): string {
    return this.#client;
  }

  get closed(): boolean {
    return this.#engine === undefined;
  }

  /**
   * Hands over an operation, to be sent after others; resolves when it is durable: intents for a document, or an event for
   * a topic, with the key that it coalesces by for an id.
   */
  submit(target: string, id: string, work: string, after?: readonly number[]): Promise<SavedOperation> {
    const parents = after?.length ? JSON.stringify(after) : undefined;
    return this.ask((engine, ticket) => engine.submit(ticket, target, id, this.#schema, work, parents));
  }

  /** Replaces what an operation does, by intents or by an event. */
  edit(seq: number, work: string): Promise<SavedOperation> {
    return this.ask((engine, ticket) => engine.edit(ticket, seq, this.#schema, work));
  }

  retry(seq: number): Promise<SavedOperation> {
    return this.ask((engine, ticket) => engine.retry(ticket, seq));
  }

  abort(seq: number): Promise<SavedOperation> {
    return this.ask((engine, ticket) => engine.abort(ticket, seq));
  }

  /** Ends a conflict. */
  resolve(seq: number, resolution: string): Promise<SavedOperation> {
    return this.ask((engine, ticket) => engine.resolve(ticket, seq, resolution));
  }

  /** The handle of an operation that the engine holds; none if it holds none of this number. */
  operation(seq: number): SavedOperation | undefined {
    const known = this.#unsettled.get(seq);
    if (known) {
      return known;
    }
    const rejected = this.#rejection(seq);
    const waiting = JSON.parse(this.call((engine) => engine.unsettled())) as { seq: number }[];
    if (!rejected && !waiting.some((each) => each.seq === seq)) {
      return undefined;
    }
    const operation = this.#handle(seq);
    if (rejected) {
      operation.settle(rejected);
    } else {
      this.#unsettled.set(seq, operation);
    }
    return operation;
  }

  /** Why an operation will not be applied, if that is known and nobody has discarded it. */
  #rejection(seq: number): Outcome | undefined {
    const rejected = this.readRejected().find((each) => each.seq === seq);
    return rejected && outcome({ rejected: rejected.reason } as WireOutcome);
  }

  #handle(seq: number): SavedOperation {
    return new SavedOperation(this, this.#client, seq, this.readStatus().durable);
  }

  /** Asks for something that an event answers under its ticket, once it is durable. */
  ask(use: (engine: Engine, ticket: number) => void): Promise<SavedOperation> {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#lastName;
      this.#submissions.set(ticket, { resolve, reject });
      try {
        this.call((engine) => use(engine, ticket));
      } catch (error) {
        this.#submissions.delete(ticket);
        reject(error as RealtimeError);
      }
    });
  }

  /** Opens a live query, whose follower hears of each change and of the end of the client. */
  openQuery(query: WireQuery, follower: Follower): number {
    const name = ++this.#lastName;
    this.#queries.set(name, follower);
    try {
      this.call((engine) => engine.openQuery(name, JSON.stringify(query)));
    } catch (error) {
      this.#queries.delete(name);
      throw error;
    }
    return name;
  }

  /** What a live query shows. */
  view(name: number): WireView {
    const text = this.call((engine) => engine.view(name));
    return text === undefined ? { loaded: false, documents: [] } : (JSON.parse(text) as WireView);
  }

  /** What a reader of a topic has. */
  topic<T>(name: number): WireTopic<T> {
    const text = this.call((engine) => engine.view(name));
    return text === undefined ? { items: [] } : (JSON.parse(text) as WireTopic<T>);
  }

  /** What is seen of a room, or heard. */
  room<S, M>(name: number): WireRoom<S, M> {
    const text = this.call((engine) => engine.view(name));
    return JSON.parse(text ?? '{"people":[],"messages":[]}') as WireRoom<S, M>;
  }

  /** Says something to those who are there now; resolves to how many sessions have got it. */
  say(to: object, data: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const ticket = ++this.#lastName;
      this.#said.set(ticket, { resolve, reject });
      try {
        this.call((engine) => engine.say(ticket, JSON.stringify(to), data));
      } catch (error) {
        this.#said.delete(ticket);
        reject(error as RealtimeError);
      }
    });
  }

  /** Closes a live query, or the reader of a topic. After the end of the client there is nothing left to close. */
  closeQuery(name: number): void {
    if (this.#queries.delete(name) && this.#engine) {
      this.call((engine) => engine.closeQuery(name));
    }
  }

  /** The engine's status, read anew only after it has changed. */
  readStatus(): WireStatus {
    return (this.#statusNow ??= JSON.parse(this.call((engine) => engine.status())) as WireStatus);
  }

  /** The conflicts that wait for a person. */
  readConflicts(): WireConflicted[] {
    return JSON.parse(this.call((engine) => engine.conflicts())) as WireConflicted[];
  }

  /** The operations that the server refused. */
  readRejected(): (WireRejected | WireUnpublished)[] {
    return JSON.parse(this.call((engine) => engine.rejected())) as (WireRejected | WireUnpublished)[];
  }

  /** Tells the application of an incident, and ends if that is what it means. */
  befell(incident: Incident): void {
    const { code, message } = incident.error;
    if (ENDS.has(incident.type)) {
      this.#statusNow = { ...this.readStatus(), problem: { code, message } };
      this.#engine = undefined;
      this.#end = incident.error;
      this.#abandon();
    }
    queueMicrotask(() => this.#onIncident?.(incident));
  }

  /** Tells whoever shows the status that something beyond the engine's part of it has changed. */
  readonly statusChanged = (): void => this.#notifySoon(this.status);

  /** Calls the engine, and makes a `RealtimeError` of what it throws. */
  call<T>(use: (engine: Engine) => T): T {
    if (!this.#engine) {
      throw this.#end;
    }
    try {
      return use(this.#engine);
    } catch (error) {
      throw realtimeError(error);
    }
  }

  /** Takes a list of events, as JSON text. */
  readonly receive = (text: string): void => {
    queueMicrotask(() => (JSON.parse(text) as WireEvent[]).forEach((event) => this.#take(event)));
  };

  /** Stops the engine, then tells everyone who waits. */
  async close(): Promise<void> {
    const engine = this.#engine;
    if (!engine) {
      return;
    }
    try {
      this.#statusNow = { ...this.readStatus(), link: "down" };
      this.#engine = undefined;
      await engine.stop();
      engine.free();
    } catch (error) {
      throw realtimeError(error);
    } finally {
      this.#engine = undefined;
      this.#abandon();
    }
  }

  #take(event: WireEvent): void {
    // These may come while the engine is still being opened.
    if (isStorageIncident(event)) {
      this.befell(storageIncident(event));
      return;
    }
    if (typeof event === "object" && "storageDamaged" in event) {
      this.befell(storageDamaged(event.storageDamaged));
      return;
    }
    if (!this.#engine) {
      return;
    }
    if (event === "statusChanged" || event === "conflictsChanged") {
      this.#statusNow = undefined;
      this.#notifySoon(this.status);
    } else if (event === "identityRenewed" || event === "reattached") {
      this.#identify();
      // Whoever was to tell may be gone.
      this.#forgetSaid(new RealtimeError("not_connected", "it is not known whether anybody has got this"));
      if (this.#unsettled.size > 0) {
        this.call((engine) => engine.recall?.(...this.#unsettled.keys()));
      }
    } else if (typeof event !== "object") {
      return;
    } else if ("submitted" in event) {
      const [ticket, seq] = event.submitted;
      const submission = this.#takeSubmission(ticket);
      if (submission) {
        const operation = this.#unsettled.get(seq) ?? this.#handle(seq);
        this.#unsettled.set(seq, operation);
        submission.resolve(operation);
      }
    } else if ("refused" in event) {
      const [ticket, refusal] = event.refused;
      this.#takeSubmission(ticket)?.reject(realtimeError(refusal));
    } else if ("sent" in event || "unsent" in event) {
      const [ticket, answer] = "sent" in event ? event.sent : event.unsent;
      const said = this.#said.get(ticket);
      this.#said.delete(ticket);
      if (typeof answer === "number") {
        said?.resolve(answer);
      } else {
        said?.reject(realtimeError(answer));
      }
    } else if ("settled" in event) {
      const [seq, , wire] = event.settled;
      this.#unsettled.get(seq)?.settle(outcome(wire));
      this.#unsettled.delete(seq);
    } else if ("forgotten" in event) {
      const operation = this.#unsettled.get(event.forgotten);
      const rejected = this.#rejection(event.forgotten);
      if (rejected) {
        operation?.settle(rejected);
      } else {
        operation?.abandon(forgotten());
      }
      this.#unsettled.delete(event.forgotten);
    } else if ("viewChanged" in event) {
      const follower = this.#queries.get(event.viewChanged);
      if (follower) {
        follower.stale();
        this.#notifySoon(follower);
      }
    } else if ("queryRefused" in event) {
      const follower = this.#queries.get(event.queryRefused);
      if (follower) {
        this.#queries.delete(event.queryRefused);
        follower.refuse(
          new RealtimeError("too_many", "too many documents, ranges or topics are followed at one time"),
        );
        this.#notifySoon(follower);
      }
    } else if ("slowResolver" in event) {
      const [[collection, id], took] = event.slowResolver;
      const message = `the merge function took ${took} ms to decide about ${collection}/${id}`;
      this.befell(Object.freeze({ type: "slowMerge", error: new RealtimeError("slow_merge", message) }));
    } else if ("incident" in event) {
      const { type, error } = event.incident;
      this.befell(Object.freeze({ type, error: realtimeError(error) }));
    }
  }

  #forgetSaid(reason: RealtimeError): void {
    this.#said.forEach((said) => said.reject(reason));
    this.#said.clear();
  }

  #identify(): void {
    const client = this.call((engine) => engine.clientId());
    if (client !== this.#client) {
      this.#client = client;
      this.#onRenewed?.(client);
    }
  }

  #takeSubmission(ticket: number): Submission | undefined {
    const submission = this.#submissions.get(ticket);
    this.#submissions.delete(ticket);
    return submission;
  }

  #notifySoon(follower: { notify(): void }): void {
    if (!this.#toNotify) {
      const followers = (this.#toNotify = new Set<{ notify(): void }>());
      queueMicrotask(() => {
        this.#toNotify = undefined;
        followers.forEach((each) => each.notify());
      });
    }
    this.#toNotify.add(follower);
  }

  #abandon(): void {
    const unknown = "the client ended before the operation was saved for certain";
    this.#submissions.forEach((submission) => submission.reject(new RealtimeError(this.#end.code, unknown)));
    this.#forgetSaid(new RealtimeError(this.#end.code, unknown));
    this.#unsettled.forEach((operation) => operation.abandon(closed()));
    this.#queries.forEach((follower) => {
      follower.stale();
      this.#notifySoon(follower);
    });
    this.#notifySoon(this.status);
    this.#submissions.clear();
    this.#unsettled.clear();
    this.#queries.clear();
  }
}
