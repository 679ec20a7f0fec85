import type { Client, Incident, Live, Operation, Outcome } from "../src/types.js";
import { Page } from "./browser.js";
import type { Collections } from "./page.js";
import { Reader } from "./reader.js";
import { REFUSED } from "./server.js";
import type { World } from "./world.js";

/** A document's fields: each write sets one that nobody else sets. */
type Card = Record<string, boolean>;

/** Milliseconds within which an edit is saved in a tab that is seen, while the storage is well. */
const PATIENCE = 45_000;
/** Documents that all tabs write to. */
const DOCUMENTS = ["a", "b", "c"];

/** One edit, and what its tab has been told of it. */
export interface Write {
  readonly field: string;
  readonly document: string;
  readonly asked: number;
  /** Since when it has had nothing but time to be saved. */
  since: number;
  /** `durable` has resolved; what is refused has rejected with a code. */
  state: "asked" | "durable" | { refused: string };
  /** Its tab could not be shown anything when it was saved. */
  unseen?: boolean;
  operation?: Operation;
  outcome?: Outcome["type"] | { unknown: string };
}

/** A page with an application: it writes, reads, and holds what it sees against what it was promised. */
export class Tab {
  readonly page: Page;
  readonly #world: World;
  readonly versions: readonly [number, number] | undefined;
  readonly writes: Write[] = [];
  client: Client<Collections> | undefined;
  /** Why it has none. */
  failure: string | undefined;
  closing = false;
  /** The client has given up, and said so. */
  ended = false;
  /** It is put aside or stopped, or about to be. */
  away = false;
  readonly reader: Reader;
  #live: Live<Card> | undefined;
  /** That has shown what is stored, which it does from then on. */
  #wasLoaded = false;
  /** Fields that were shown, and could not be taken back any more then. */
  #seen: string[] = [];

  constructor(world: World, name: string, versions: readonly [number, number] | undefined) {
    this.#world = world;
    this.versions = versions;
    this.page = new Page(world, name);
    this.reader = new Reader(world, this);
  }

  start(): void {
    const { name } = this.page;
    const options = {
      url: "http://server.test",
      token: "token",
      collections: { cards: "fieldLevel" },
      onIncident: ({ type }: Incident) => {
        this.#world.trace(`${name} hears of ${type}`);
        this.ended ||= type === "engineFailed";
      },
    } as const;
    this.page.perform(() => {
      const program = this.#world.program.load(this.page);
      const calling = (method: string | undefined) => void (this.page.calling = method);
      program.open(this.#world.program.module, options, calling, this.versions).then(
        (client) => this.#opened(client),
        (error: { code?: string }) => {
          this.failure = error.code ?? String(error);
          this.#world.trace(`${this.page.name} could not be opened: ${this.failure}`);
        },
      );
    });
  }

  /** Another tab has a version of the package that this one cannot speak with. */
  get outdated(): boolean {
    return this.client?.status.problem?.code === "update_needed";
  }

  write(): void {
    const { random } = this.#world;
    const field = `${this.page.name}.${this.writes.length + 1}`;
    const document = random.chance(0.05) ? REFUSED : (random.pick(DOCUMENTS) as string);
    const { now } = this.#world.agenda;
    const write: Write = { field, document, asked: now, since: now, state: "asked" };
    this.page.perform(() => {
      if (!this.client || this.closing) {
        return;
      }
      this.writes.push(write);
      this.#world.trace(`${this.page.name} writes ${field}`);
      this.client
        .collection<Card>("cards")
        .update(document, { [field]: true })
        .then(
          (operation) => this.#saved(write, operation),
          (error: { code?: string }) => {
            write.state = { refused: error.code ?? String(error) };
            this.#world.trace(`${this.page.name} is refused ${field}: ${write.state.refused}`);
          },
        );
    });
  }

  /** Holds the tab to it that its edits are saved before long, whatever becomes of the others. */
  hurry(): void {
    const { agenda, faults } = this.#world;
    const isHindered = this.page.frozen || this.page.hidden || this.away || faults.hinder;
    for (const write of this.writes) {
      if (isHindered) {
        write.since = agenda.now;
      } else if (
        write.state === "asked" &&
        !this.closing &&
        !this.ended &&
        agenda.now - write.since > PATIENCE
      ) {
        this.#world.violation(
          `${this.page.name} has waited for ${write.field} to be saved for ${PATIENCE / 1_000} s`,
        );
      }
    }
  }

  /** Reads a document, which has to show what this tab has written to it. */
  read(): void {
    const document = this.#world.random.pick(DOCUMENTS) as string;
    this.page.perform(() => {
      if (!this.client || this.closing || this.outdated || this.#world.replicaFailed) {
        return;
      }
      const expected = this.#promised(document);
      this.client
        .collection<Card>("cards")
        .get(document)
        .then(
          (found) => {
            const missing = expected.filter((field) => !(field in (found?.value ?? {})));
            if (missing.length > 0 && !this.outdated && !this.#world.replicaFailed) {
              this.#world.violation(`${this.page.name} reads ${document} without its own ${missing.join()}`);
            }
          },
          () => undefined,
        );
    });
  }

  /** The switch of the application, which all tabs share. */
  allowNetwork(allowed: boolean): void {
    this.#world.trace(`${this.page.name} ${allowed ? "allows" : "forbids"} the network`);
    this.page.perform(() => !this.closing && this.client?.setNetwork(allowed));
  }

  /** Ends the client as an application does that leaves. */
  close(): void {
    this.closing = true;
    this.#world.forgot = this.#world.agenda.now;
    this.#world.trace(`${this.page.name} closes`);
    this.page.perform(() => void this.client?.close());
  }

  /** What is open yet, in words; nothing if this tab has come to rest and shows what the server has. */
  unrest(): string | undefined {
    const { client, page } = this;
    if (!client) {
      return `${page.name} has no client${this.failure === undefined ? " yet" : `: ${this.failure}`}`;
    }
    if (this.ended) {
      return `${page.name} has given up`;
    }
    for (const { field, state, outcome, operation } of this.writes) {
      if (state === "asked") {
        return `${page.name} waits for ${field} to be saved`;
      }
      if (state === "durable" && outcome === undefined) {
        return `${page.name} waits for the outcome of ${field}, which is ${operation?.id}`;
      }
    }
    const { caughtUp, pending } = client.status;
    if (!caughtUp || pending > 0) {
      return `${page.name} has the status ${JSON.stringify(client.status)}`;
    }
    const [shown, held] = [this.#shown(), this.#world.server.state()].map((state) => JSON.stringify(state));
    return shown === held ? this.reader.unrest() : `${page.name} shows ${shown}, the server has ${held}`;
  }

  #opened(client: Client<Collections>): void {
    this.client = client;
    this.#world.trace(`${this.page.name} is open as ${client.status.role}`);
    this.#watch(client);
    this.reader.start(client);
    client.subscribe(() => this.#world.trace(`${this.page.name} is ${this.#standing()}`));
  }

  /** Follows all documents; once more where the engine dies of it. */
  #watch(client: Client<Collections>): void {
    try {
      const live = client.collection<Card>("cards").live();
      live.subscribe(() => this.#look());
      this.#live = live;
      this.#wasLoaded = false;
    } catch {
      this.page.task(1_000, () => this.#watch(client));
    }
  }

  #standing(): string {
    const { role, link, pending, caughtUp, problem } = this.client?.status ?? {};
    return [role, link, pending, caughtUp ? "caught up" : "behind", problem?.code].join(" ");
  }

  #saved(write: Write, operation: Operation): void {
    write.state = "durable";
    write.operation = operation;
    write.unseen = this.outdated;
    this.#world.trace(`${this.page.name} has saved ${write.field} as ${operation.id}`);
    this.#look();
    operation.outcome().then(
      ({ type }) => this.#ended(write, type),
      (error: { code?: string }) => this.#ended(write, { unknown: error.code ?? String(error) }),
    );
  }

  #ended(write: Write, outcome: NonNullable<Write["outcome"]>): void {
    write.outcome = outcome;
    this.#world.trace(`${this.page.name} hears of ${write.field}: ${JSON.stringify(outcome)}`);
    const wrong = write.document === REFUSED ? "accepted" : "rejected";
    if (outcome === wrong) {
      this.#world.violation(`${this.page.name} was told that ${write.field} was ${outcome}`);
    }
    const { awake, forgot, living } = this.#world;
    const allThere = forgot < write.asked && awake.length === living.length;
    if (typeof outcome === "object" && allThere && !this.closing && this.versions === undefined) {
      this.#world.violation(
        `${this.page.name} was told ${outcome.unknown} of ${write.field}, which some tab must know`,
      );
    }
  }

  /** What this tab was promised that a document shows. */
  #promised(document: string): string[] {
    return this.writes
      .filter((write) => write.document === document && write.state === "durable" && !write.unseen)
      .map(({ field }) => field);
  }

  #shown(): Record<string, string[]> | undefined {
    try {
      if (!this.#live?.loaded) {
        return undefined;
      }
    } catch {
      // It was refused: the engine has died of it.
      this.#live = undefined;
      this.page.task(1_000, () => this.client && this.#watch(this.client));
      return undefined;
    }
    const documents = this.#live.getSnapshot().map(({ id, value }) => [id, Object.keys(value).sort()]);
    return Object.fromEntries(documents) as Record<string, string[]>;
  }

  /** Looks at the live query. What was shown stays, and what was written shows. */
  #look(): void {
    if (this.closing || this.outdated || this.#world.replicaFailed) {
      return;
    }
    const shown = this.#shown();
    if (!shown) {
      if (this.#live && this.#wasLoaded) {
        this.#world.violation(`${this.page.name} does not show anything any more`);
      }
      return;
    }
    this.#wasLoaded = true;
    const fields = new Set(Object.values(shown).flat());
    const mine = DOCUMENTS.flatMap((document) => this.#promised(document));
    const missing = mine.filter((field) => !fields.has(field));
    if (missing.length > 0) {
      this.#world.violation(`${this.page.name} does not show its own ${missing.join()}`);
    }
    const gone = this.#seen.filter((field) => !fields.has(field));
    if (gone.length > 0) {
      this.#world.violation(`${this.page.name} does not show ${gone.join()} any more`);
    }
    this.#seen = [...fields].filter((field) => this.#world.stands(field));
  }
}
