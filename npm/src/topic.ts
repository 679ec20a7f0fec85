import type { Bridge, Follower } from "./bridge.js";
import { RealtimeError } from "./errors.js";
import { plainFields, write } from "./intents.js";
import { LatestIterator } from "./latest.js";
import { Listeners } from "./listeners.js";
import { randomName } from "./random.js";
import type { WireQuery } from "./seam.js";
import { share } from "./snapshot.js";
import { outcomes } from "./transact.js";
import type { CloudEvent, PublishOptions, SubscribeOptions, Topic, TopicEvent } from "./topics.js";
import type { Operation } from "./types.js";
import { orAborted } from "./waiting.js";

const POSITION = /^[0-9a-f]{16}_[0-9a-f]{16}$/;

/** Attributes that are text. */
const CORE = /^(specversion|id|source|type|time|subject|datacontenttype|dataschema)$/;

/** An attribute with a value that is none of its: another version, or no time of RFC 3339. */
const WRONG =
  /^(specversion=(?!1\.0$)|time=(?!\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])t([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(z|[+-]([01]\d|2[0-3]):[0-5]\d)$))/i;

/** Attributes of an event, but for those that it is given here. */
const MOST = 60;

/** A topic as the application sees it. */
export class BoundTopic<T> implements Topic<T> {
  readonly name: string;
  readonly #bridge: Bridge;

  constructor(bridge: Bridge, name: string) {
    if (!isName(name)) {
      throw new RealtimeError("invalid_value", `no topic can have the name ${name}`);
    }
    this.name = name;
    this.#bridge = bridge;
  }

  async publish(event: CloudEvent, options?: PublishOptions): Promise<Operation> {
    options?.signal?.throwIfAborted();
    const after = [options?.after ?? []].flat().map(({ seq }) => seq);
    const saved = this.#bridge.submit(this.name, options?.coalesce ?? "", this.#whole(event), after);
    return orAborted(saved, options?.signal);
  }

  async republish({ seq }: Operation, event: CloudEvent): Promise<Operation> {
    return this.#bridge.edit(seq, this.#whole(event));
  }

  /** The event with what its application did not say. */
  #whole(event: CloudEvent): string {
    return write({
      specversion: "1.0",
      id: randomName(),
      source: `urn:webwaka:client:${this.#bridge.client}`,
      time: new Date().toISOString(),
      ...checked(event),
    });
  }

  subscribe({ from, durable, signal }: SubscribeOptions = {}): AsyncIterableIterator<
    TopicEvent<T>,
    undefined
  > {
    const query = {
      topic: { topic: this.name, start: start(from), ...(durable !== undefined && { durable }) },
    };
    const reader = new TopicReader<T>(this.#bridge, query, durable !== undefined);
    return new LatestIterator(reader, signal, () => reader.close());
  }
}

/**
 * Events of the engine, one by one. Where the engine is another one after a crash or a change of the leading tab, it
 * shows again what this reader has already: that is told by the positions, whose texts have their order.
 */
class TopicReader<T> implements Follower {
  readonly #bridge: Bridge;
  readonly #name: number;
  readonly #lasts: boolean;
  readonly #listeners = new Listeners();
  #waiting: TopicEvent<T>[] = [];
  /** The newest event that was given out, until it counts as dealt with. */
  #given = "";
  /** All up to here was given out. */
  #at = "";
  #stale = true;
  #over = false;
  #refused: RealtimeError | undefined;

  constructor(bridge: Bridge, query: WireQuery, lasts: boolean) {
    this.#bridge = bridge;
    this.#lasts = lasts;
    this.#name = bridge.openQuery(query, this);
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#listeners.add(listener);

  /** The next event, if there is one; who asks for it is done with the one before. */
  read(): TopicEvent<T> | undefined {
    if (this.#given && (this.#lasts || this.#waiting.length === 0)) {
      this.#take(this.#given);
      this.#given = "";
    }
    if (this.#waiting.length === 0 && !this.#bridge.closed) {
      this.#look();
    }
    const event = this.#waiting.shift();
    if (event) {
      this.#given = this.#at = event.position;
    }
    return event;
  }

  ended(): boolean {
    return this.#over || this.#bridge.closed;
  }

  close(): void {
    this.#bridge.closeQuery(this.#name);
  }

  stale(): void {
    this.#stale = true;
  }

  refuse(error: RealtimeError): void {
    this.#refused = error;
  }

  notify(): void {
    this.#listeners.notify();
  }

  #look(): void {
    if (this.#refused) {
      throw this.#refused;
    }
    if (!this.#stale) {
      return;
    }
    this.#stale = false;
    const { position, items, over } = this.#bridge.topic<T>(this.#name);
    // The topic has lost its end, and has other events there now.
    if (items[0]?.gap && items[0].gap.missed === undefined && items[0].position < this.#at) {
      this.#at = "";
    }
    this.#waiting = items
      .filter((event) => event.position > this.#at)
      .map((event, at) => share(undefined, at === 0 ? this.#counted(event) : event));
    if (this.#waiting.length > 0) {
      return;
    }
    if (over?.reason) {
      throw new RealtimeError(over.reason.code, over.reason.message);
    }
    this.#over = over !== undefined;
    // Where a reader of what is yet to come stands; or what it has already, and another engine shows again.
    if (position !== undefined) {
      this.#at = position > this.#at ? position : this.#at;
      this.#take(this.#at);
    }
  }

  /** The engine may have begun before what this reader has, and counts that as missing, too. */
  #counted(event: TopicEvent<T>): TopicEvent<T> {
    const missed = event.gap?.missed ?? 0;
    const most = offset(event.position) - offset(this.#at);
    const isSame = event.position.slice(0, EPOCH) === this.#at.slice(0, EPOCH);
    return event.gap && isSame && missed > most ? { ...event, gap: { missed: most } } : event;
  }

  #take(position: string): void {
    this.#bridge.call((engine) => engine.taken(this.#name, position));
  }
}

/** Where in a position its epoch ends; the offset comes after one more character. Both are hexadecimal. */
const EPOCH = 16;

const offset = (position: string): number => Number.parseInt(position.slice(EPOCH + 1), 16);

/**
 * What an application says of an event, if the server can take it: anything else would hold up its topic. The last
 * word is the server's.
 */
function checked(event: CloudEvent): object {
  const said = Object.entries(plainFields(event)).filter(
    ([name, value]) => name === "data" || (value !== undefined && value !== null),
  );
  const good = said.every(([name, value]) =>
    name === "data_base64"
      ? typeof value === "string" && !("data" in event)
      : name === "data" ||
        (/^[a-z0-9]{1,20}$/.test(name) &&
          (typeof value === "string"
            ? value.length > 0 && value.length <= 256 && !WRONG.test(`${name}=${value}`)
            : !CORE.test(name) && (typeof value === "boolean" || value === ((value as number) | 0)))),
  );
  if (!good || !event.type || said.length > MOST || outcomes.has(event)) {
    throw new RealtimeError("invalid_value", "this is no CloudEvent; nothing was stored");
  }
  return Object.fromEntries(said);
}

/** As the server has it. */
export function isName(name: string): boolean {
  const parts = name.split("/");
  const plain = parts.every((part) => /^[\w.~:@-]+$/.test(part) && part !== "." && part !== "..");
  return plain && parts[0] !== "__ds" && name.length <= 256;
}

function start(from: SubscribeOptions["from"] = "latest"): object {
  if (from === "earliest" || from === "latest") {
    return { [from]: {} };
  }
  if (from instanceof Date && from.getTime() >= 0) {
    return { time: from.getTime() };
  }
  if (typeof from === "object" && "after" in from && POSITION.test(from.after)) {
    return { after: from.after };
  }
  throw new RealtimeError("invalid_value", "from is no place in a topic");
}
