import { Agenda } from "./agenda.js";
import type { Page } from "./browser.js";
import { Channels } from "./channels.js";
import { Faults } from "./faults.js";
import { type Asked, Storage } from "./indexed_db.js";
import { Locks } from "./locks.js";
import { Network } from "./network.js";
import type { Program } from "./program.js";
import { Random } from "./random.js";
import { Range } from "./records.js";
import { REFUSED, Server } from "./server.js";
import { Tab } from "./tab.js";

/** Unix time at which every run begins. */
const BEGINNING = 1_790_000_000_000;
/** The outbox's database of the client that all tabs share. */
export const OUTBOX = "webwaka:default:outbox";

/** Everything there is in one run: one browser with the pages of one origin, a server, and what a seed makes of them. */
export class World {
  readonly program: Program;
  readonly random: Random;
  readonly agenda = new Agenda();
  readonly locks = new Locks<Page>({
    ask: (page, arrive) => this.#onLocks(`${page.name}>locks`, () => page.dead || arrive()),
    tell: (page, run) => this.#onLocks(`${page.name}<locks`, () => page.perform(run)),
  });
  readonly channels = new Channels(this);
  readonly storage = new Storage(this);
  readonly network = new Network(this);
  readonly server = new Server(this);
  readonly faults = new Faults(this);
  readonly localStorage = new Map<string, string>();
  /** All there ever were. */
  readonly tabs: Tab[] = [];
  readonly violations: string[] = [];
  /** What Unix time on this machine is beside the truth. */
  clock = 0;
  /** The copy of the server's documents may be lost: until it is fetched again, less is shown. */
  replicaFailed = false;
  /** When a tab died, slept, or lost its engine last: what it knew of ends it may not tell any more. */
  forgot = -1;
  /** Milliseconds that the machine has slept: the monotonic clock stood still. */
  slept = 0;
  /** Sums up what happened: equal for equal histories. */
  hash = 0x811c9dc5;
  /** Takes each line of the history. */
  readonly #tell: ((line: string) => void) | undefined;
  /** Things that have happened. */
  steps = 0;
  /** Who has taken the outbox over last. */
  #owner: string | undefined;

  constructor(program: Program, seed: number, tell?: (line: string) => void) {
    this.program = program;
    this.random = new Random(seed);
    this.#tell = tell;
  }

  get living(): Tab[] {
    return this.tabs.filter(({ page }) => !page.dead);
  }

  /** Those whose code runs. */
  get awake(): Tab[] {
    return this.living.filter(({ page }) => !page.frozen);
  }

  /** Unix time as the machine has it. */
  unixTime(): number {
    return this.trueTime() + this.clock;
  }

  trueTime(): number {
    return BEGINNING + this.agenda.now + this.slept;
  }

  open(versions?: readonly [number, number]): Tab {
    const tab = new Tab(this, `tab-${this.tabs.length + 1}`, versions);
    this.tabs.push(tab);
    this.trace(`${tab.page.name} opens${versions ? ` in versions ${versions.join("-")}` : ""}`);
    tab.start();
    return tab;
  }

  /** Ends a page without a word. The browser notices. */
  kill({ page }: Tab): void {
    this.trace(`${page.name} dies`);
    this.forgot = this.agenda.now;
    page.dead = true;
    this.channels.forget(page);
    this.network.forget(page);
    this.agenda.after(this.random.latency(100), () => {
      this.storage.forget(page);
      this.locks.forget(page);
    });
  }

  /** Whether what set this field cannot be taken back: it is saved, or the server has it. */
  stands(field: string): boolean {
    const write = this.tabs.flatMap(({ writes }) => writes).find((each) => each.field === field);
    return write?.document !== REFUSED && (write?.state === "durable" || this.server.writers.has(field));
  }

  #onLocks(way: string, run: () => void): void {
    this.agenda.inOrder(way, this.random.latency(20), run);
  }

  trace(line: string): void {
    const text = `${this.agenda.now} ${line}`;
    for (let index = 0; index < text.length; index += 1) {
      this.hash = Math.imul(this.hash ^ text.charCodeAt(index), 0x01000193);
    }
    this.#tell?.(text);
  }

  /** Tells, where anybody listens, what is too much to be summed up. */
  detail(line: () => string): void {
    this.#tell?.(`${this.agenda.now}   ${line()}`);
  }

  violation(what: string): void {
    this.trace(`VIOLATION: ${what}`);
    this.violations.push(`at ${this.agenda.now}: ${what}`);
  }

  /** A page has written to a database: to the outbox nobody may but the one that took it over last. */
  committed(page: Page, database: string, asked: readonly Asked[]): void {
    if (database !== OUTBOX) {
      return;
    }
    const takesOver = asked.some(
      ({ store, method, key }) => store === "fence" && method === "delete" && key instanceof Range,
    );
    const writes = asked.some(
      ({ store, method, value }) =>
        method === "put" && (store === "records" || store === "meta" || typeof value === "number"),
    );
    if (takesOver) {
      this.#owner = page.name;
      this.trace(`${page.name} takes the outbox over`);
    }
    if (writes && this.#owner !== page.name) {
      this.violation(`${page.name} wrote to the outbox, which ${this.#owner} has taken over`);
    }
  }

  /** Goes on until then, or until something is wrong. */
  async run(until: number): Promise<void> {
    while (this.agenda.next <= until && this.violations.length === 0) {
      this.agenda.step();
      this.steps += 1;
      // All that follows from it follows before anything else happens.
      await new Promise(setImmediate);
    }
    if (this.violations.length === 0) {
      this.agenda.now = Math.max(this.agenda.now, until);
    }
  }
}
