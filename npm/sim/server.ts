import { Topic } from "./topic.js";
import type { World } from "./world.js";

type Stamp = { at: [number, number]; by: [actor: number, seq: number]; rev: number };
type Intents = { set?: Record<string, unknown> }[];

interface Operation {
  seq: number;
  doc: [collection: string, id: string];
  maker?: string;
  at: [number, number];
  intents: Intents;
}

interface Judged {
  at: string;
  doc: string;
  judgement: object;
}

/** Fields with the writes that assigned them. */
type Document = { rev: number; clock: Map<number, number>; fields: Map<string, { v: unknown; s: Stamp }> };

const EPOCH = "epoch";
const HEARTBEAT = 20_000;
/** All operations on this document are rejected. */
export const REFUSED = "refused";
const LIMITS = {
  frameBytes: 524_288,
  batchOperations: 128,
  operationBytes: 131_072,
  documentBytes: 131_072,
  inFlightOperations: 512,
};

/** One connection's part of the server. */
export class Session {
  readonly #server: Server;
  readonly send: (frame: object) => void;
  readonly #close: () => void;
  #client: string | undefined;
  #actor = 0;
  #over = false;
  /** What the client has been sent up to, if it reads. */
  position: number | undefined;
  #silences = 0;
  /** Places of those who read the topic; of one that has to ask for more there is none. */
  readonly #readers = new Map<number, number>();

  constructor(server: Server, send: (frame: object) => void, close: () => void) {
    this.#server = server;
    this.send = send;
    this.#close = close;
  }

  receive(text: string): void {
    this.#silences = 0;
    const [[name, body] = []] = Object.entries(JSON.parse(text) as Record<string, never>);
    if (name === "hello") {
      this.#hello(body as unknown as { client: string; resume: Resume[] });
    } else if (name === "push") {
      const { operations } = body as unknown as { operations: Operation[] };
      const client = this.#client as string;
      const judgements = operations.map((each) => this.#server.judge(each, client, this.#actor));
      this.#server.tell(() => this.send({ outcomes: { judgements } }));
    } else if (name === "pull") {
      this.#resume(body as unknown as Resume);
    } else if (name === "subscribe") {
      const { sub, start } = body as unknown as { sub: number; start: Record<string, unknown> };
      this.#page(sub, this.#server.topic.begin(start));
    } else if (name === "unsubscribe") {
      this.#readers.delete((body as unknown as { sub: number }).sub);
    }
  }

  /** There are more events. */
  appended(): void {
    [...this.#readers].forEach(([sub, at]) => this.#page(sub, at));
  }

  #page(sub: number, at: number): void {
    const { frame, to, more } = this.#server.topic.page(sub, at);
    this.send(frame);
    this.#readers.delete(sub);
    if (!more) {
      this.#readers.set(sub, to);
    }
  }

  end(): void {
    this.#over = true;
    this.#server.sessions.delete(this);
  }

  #hello({ client, resume }: { client: string; resume: Resume[] }): void {
    this.#client = client;
    this.#actor = this.#server.actor(client);
    this.send({
      welcome: {
        version: 1,
        actor: this.#actor,
        identity: { tenant: "dev", subject: "ada" },
        limits: LIMITS,
        heartbeat: HEARTBEAT,
        serverTime: this.#server.time(),
      },
    });
    this.#server.sessions.add(this);
    resume.forEach((each) => this.#resume(each));
    this.#server.every(HEARTBEAT, () => this.#beat());
  }

  #resume({ collection, after }: Resume): void {
    const from = after?.offset;
    this.send(this.#server.changes(collection, from));
    this.position = this.#server.offset;
  }

  #beat(): boolean {
    if (!this.#over && (this.#silences += 1) > 3) {
      this.#close();
    }
    if (!this.#over) {
      this.send({ ping: {} });
    }
    return !this.#over;
  }
}

interface Resume {
  collection: string;
  after?: { epoch: string; offset: number };
}

/**
 * A server of the protocol, as much of it as pages with one collection of independent fields need, with a history that
 * never ends. It keeps what it was told from the moment it has judged it, whatever becomes of its answer.
 */
export class Server {
  readonly #world: World;
  readonly sessions = new Set<Session>();
  readonly topic = new Topic();
  readonly #actors = new Map<string, number>();
  readonly #judged = new Map<string, Judged>();
  readonly #documents = new Map<string, Document>();
  /** Who has written each field: operations by their names. */
  readonly writers = new Map<string, string[]>();
  offset = 0;

  constructor(world: World) {
    this.#world = world;
  }

  accept(send: (frame: object) => void, close: () => void): Session {
    return new Session(this, send, close);
  }

  /** Its clock is right. */
  time(): number {
    return this.#world.trueTime();
  }

  actor(client: string): number {
    const actor = this.#actors.get(client) ?? this.#actors.size + 1;
    this.#actors.set(client, actor);
    return actor;
  }

  every(delay: number, again: () => boolean): void {
    this.#world.agenda.after(delay, () => again() && this.every(delay, again));
  }

  /** Answers, before or after others are told of the changes. */
  tell(answer: () => void): void {
    if (this.#world.random.chance(0.5)) {
      answer();
      this.#publish();
    } else {
      this.#publish();
      answer();
    }
  }

  /** Somebody else's device writes a field. */
  writeElsewhere(id: string, field: string): void {
    const seq = this.offset + 1;
    this.#apply(id, [{ set: { [field]: true } }], [this.time(), 0], [this.actor("elsewhere"), seq]);
    this.writers.set(field, [`elsewhere:${seq}`]);
    this.#publish();
  }

  /** Events come into the topic. */
  append(count: number): void {
    this.topic.append(count);
    this.#world.trace(`the topic has ${this.topic.head} events`);
    this.sessions.forEach((session) => session.appended());
  }

  judge({ seq, doc, maker, at, intents }: Operation, client: string, actor: number): object {
    const name = `${maker ?? client}:${seq}`;
    const before = this.#judged.get(name);
    const same = { at: JSON.stringify(at), doc: JSON.stringify(doc) };
    if (before) {
      if (before.at !== same.at || before.doc !== same.doc) {
        this.#world.violation(`the server got two operations under the name ${name}`);
      }
      return before.judgement;
    }
    let judgement: object;
    if (doc[1] === REFUSED) {
      judgement = {
        seq,
        outcome: { rejected: { code: "invalid_operation", message: "as the test wants it" } },
      };
    } else {
      this.#apply(doc[1], intents, at, [actor, seq]);
      judgement = { seq, outcome: { accepted: {} }, position: { epoch: EPOCH, offset: this.offset } };
    }
    for (const field of intents.flatMap(({ set = {} }) => Object.keys(set))) {
      const writers = this.writers.get(field) ?? [];
      this.writers.set(field, [...writers, name]);
      if (writers.length > 0) {
        this.#world.violation(`${field} was written by ${writers.join()} and by ${name}`);
      }
    }
    this.#judged.set(name, { ...same, judgement });
    this.#world.trace(`server judges ${name} ${JSON.stringify(intents)}`);
    return judgement;
  }

  /** A page of changes. */
  changes(collection: string, from: number | undefined): object {
    const documents = [...this.#documents]
      .filter(([, { rev }]) => rev > (from ?? 0))
      .sort(([, one], [, other]) => one.rev - other.rev)
      .map(([id, document]) => ({ id, doc: wire(document) }));
    return {
      changes: {
        collection,
        ...(from !== undefined && { from: { epoch: EPOCH, offset: from } }),
        to: { epoch: EPOCH, offset: this.offset },
        documents,
        recovered: true,
      },
    };
  }

  /** The fields of each document. */
  state(): Record<string, string[]> {
    const documents = [...this.#documents].sort(([one], [other]) => (one < other ? -1 : 1));
    return Object.fromEntries(documents.map(([id, { fields }]) => [id, [...fields.keys()].sort()]));
  }

  #apply(id: string, intents: Intents, at: [number, number], by: [number, number]): void {
    const rev = (this.offset += 1);
    const document = this.#documents.get(id) ?? { rev, clock: new Map(), fields: new Map() };
    this.#documents.set(id, document);
    document.rev = rev;
    document.clock.set(by[0], Math.max(by[1], document.clock.get(by[0]) ?? 0));
    for (const { set } of intents) {
      if (!set) {
        throw new Error(`the test's server knows nothing but set: ${JSON.stringify(intents)}`);
      }
      for (const [field, v] of Object.entries(set)) {
        document.fields.set(field, { v, s: { at, by, rev } });
      }
    }
  }

  #publish(): void {
    for (const session of this.sessions) {
      if (session.position !== undefined && session.position < this.offset) {
        session.send(this.changes("cards", session.position));
        session.position = this.offset;
      }
    }
  }
}

/** A document as the protocol has it: apart from the others, the fields that its newest write has assigned. */
function wire({ rev, clock, fields }: Document): object {
  const stamps = [...fields.values()].map(({ s }) => s);
  const written = stamps.reduce((newest, stamp) => (isLater(stamp, newest) ? stamp : newest));
  const latest: Record<string, unknown> = {};
  const others: Record<string, unknown> = {};
  for (const [name, { v, s }] of [...fields].sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (s.rev === written.rev) {
      latest[name] = v;
    } else {
      others[name] = { v, s };
    }
  }
  const apart = Object.keys(others).length > 0;
  return { rev, clock: Object.fromEntries(clock), latest, ...(apart && { fields: others }), written };
}

function isLater(one: Stamp, other: Stamp): boolean {
  const [a, b] = [
    [...one.at, ...one.by],
    [...other.at, ...other.by],
  ];
  const index = a.findIndex((part, at) => part !== b[at]);
  return index >= 0 && (a[index] as number) > (b[index] as number);
}
