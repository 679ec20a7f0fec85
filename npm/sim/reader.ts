import type { Client } from "../src/types.js";
import type { Collections } from "./page.js";
import type { Tab } from "./tab.js";
import { TOPIC, placeOf } from "./topic.js";
import type { World } from "./world.js";

/** The part of a tab's application that reads a topic: each event once, in order, and where some are missing it is told. */
export class Reader {
  readonly #world: World;
  readonly #tab: Tab;
  /** The newest position that it was given. */
  #at: string | undefined;
  /** Events that it was given. */
  events = 0;

  constructor(world: World, tab: Tab) {
    this.#world = world;
    this.#tab = tab;
  }

  /** Reads for as long as the client lives; once more where the engine dies of it. */
  start(client: Client<Collections>): void {
    this.#read(client).catch(() => this.#tab.page.task(1_000, () => this.#tab.closing || this.start(client)));
  }

  /** What it has yet to read, in words. */
  unrest(): string | undefined {
    const { head, floor } = this.#world.server.topic;
    const place = this.#at === undefined ? floor : placeOf(this.#at);
    return place === head ? undefined : `${this.#tab.page.name} has read ${TOPIC} up to ${place} of ${head}`;
  }

  async #read(client: Client<Collections>): Promise<void> {
    const from = this.#at === undefined ? "earliest" : { after: this.#at };
    for await (const event of client.topic<number>(TOPIC).subscribe({ from })) {
      const place = placeOf(event.position);
      const before = this.#at === undefined ? undefined : placeOf(this.#at);
      if (event.gap) {
        const { missed } = event.gap;
        if (before !== undefined && missed !== undefined && missed !== place - before) {
          this.#wrong(`is told of ${missed} missing events between ${before} and ${place}`);
        }
      } else if (event.data !== place || (before !== undefined && place !== before + 1)) {
        this.#wrong(`reads the event ${event.data} at ${place} after ${before}`);
      }
      this.#at = event.position;
      this.events += 1;
    }
  }

  #wrong(what: string): void {
    this.#world.violation(`${this.#tab.page.name} ${what}`);
  }
}
