import type { Bridge, Follower } from "./bridge.js";
import { type ErrorCode, RealtimeError } from "./errors.js";
import { write } from "./intents.js";
import { LatestIterator } from "./latest.js";
import { Listeners } from "./listeners.js";
import type { Message, Person, Presence, Room, RoomOptions, User } from "./rooms.js";
import type { WireQuery, WireRoom } from "./seam.js";
import { share } from "./snapshot.js";
import { BoundTopic, isName } from "./topic.js";
import type { Topic, Waiting } from "./types.js";

/** Bytes of a state and of a message, as the server has them. */
const MOST_STATE = 4096;
const MOST_MESSAGE = 16384;

/** A room as the application sees it. */
export class BoundRoom<S, M> implements Room<S, M> {
  readonly name: string;
  readonly presence: Presence<S>;
  readonly #bridge: Bridge;
  readonly #seen: Seen<S>;

  constructor(bridge: Bridge, name: string, { interval }: RoomOptions = {}) {
    if (!isName(name) || name.length > 128) {
      throw new RealtimeError("invalid_value", `no room can have the name ${name}`);
    }
    if (interval !== undefined && !(Number.isInteger(interval) && interval >= 16 && interval <= 10000)) {
      throw new RealtimeError("invalid_value", "an interval is 16 to 10000 milliseconds");
    }
    this.name = name;
    this.#bridge = bridge;
    this.presence = this.#seen = new Seen(bridge, { room: { room: name, ...(interval && { interval }) } });
  }

  async send(message: M): Promise<number> {
    return say(this.#bridge, { room: this.name }, message);
  }

  messages(options?: Waiting): AsyncIterableIterator<Message<M>, undefined> {
    return heard(this.#bridge, { room: { room: this.name, listen: true } }, options);
  }

  close(): void {
    this.#seen.close();
  }
}

/** Somebody as the application sees them. */
export class BoundUser implements User {
  readonly id: string;
  readonly #bridge: Bridge;

  constructor(bridge: Bridge, id: string) {
    this.id = id;
    this.#bridge = bridge;
  }

  async send(message: unknown): Promise<number> {
    return say(this.#bridge, { user: this.id }, message);
  }

  inbox<T>(): Topic<T> {
    const plain = /^[\w:@-]$/;
    const name = Array.from(new TextEncoder().encode(this.id), (byte, at) => {
      const text = String.fromCharCode(byte);
      return plain.test(text) || (text === "." && at > 0) ? text : `~${byte.toString(16).padStart(2, "0")}`;
    });
    return new BoundTopic<T>(this.#bridge, `inbox/${name.join("")}`);
  }
}

/** What is said to this person. */
export function direct<M>(bridge: Bridge, options?: Waiting): AsyncIterableIterator<Message<M>, undefined> {
  return heard(bridge, { room: { listen: true } }, options);
}

async function say(bridge: Bridge, to: object, message: unknown): Promise<number> {
  return bridge.say(to, written(message, MOST_MESSAGE));
}

function written(value: unknown, most: number): string {
  const text = write(value);
  if (new TextEncoder().encode(text).length > most) {
    throw new RealtimeError("too_large", `at most ${most} bytes of JSON; nothing was sent`);
  }
  return text;
}

/** A query that is opened when somebody first has to do with it. */
abstract class Way implements Follower {
  protected readonly bridge: Bridge;
  readonly #query: WireQuery;
  readonly #listeners = new Listeners();
  #name: number | undefined;
  protected isStale = true;
  protected refused: RealtimeError | undefined;

  constructor(bridge: Bridge, query: WireQuery) {
    this.bridge = bridge;
    this.#query = query;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.open();
    return this.#listeners.add(listener);
  };

  protected open(): number {
    return (this.#name ??= this.bridge.openQuery(this.#query, this));
  }

  close(): void {
    if (this.#name !== undefined) {
      this.bridge.closeQuery(this.#name);
      this.#name = undefined;
      this.isStale = true;
      this.#listeners.notify();
    }
  }

  get isOpen(): boolean {
    return this.#name !== undefined;
  }

  stale(): void {
    this.isStale = true;
  }

  refuse(error: RealtimeError): void {
    this.refused = error;
  }

  notify(): void {
    this.#listeners.notify();
  }
}

const NOBODY: readonly never[] = Object.freeze([]);

class Seen<S> extends Way implements Presence<S> {
  #people: readonly Person<S>[] = NOBODY;
  #loaded = false;
  #problem: Presence["problem"];
  #state: S | undefined;

  get loaded(): boolean {
    this.#look();
    return this.#loaded;
  }

  get problem(): Presence["problem"] {
    this.#look();
    return this.#problem;
  }

  readonly getSnapshot = (): readonly Person<S>[] => {
    this.#look();
    return this.#people;
  };

  enter(state: S): void {
    const text = written(state, MOST_STATE);
    const name = this.open();
    this.#state = state;
    this.bridge.call((engine) => engine.present(name, text));
  }

  update(part: Partial<S>): void {
    this.enter({ ...this.#state, ...part } as S);
  }

  leave(): void {
    this.#state = undefined;
    if (this.isOpen) {
      this.bridge.call((engine) => engine.present(this.open(), undefined));
    }
  }

  override close(): void {
    super.close();
    this.#state = undefined;
    [this.#people, this.#loaded] = [NOBODY, false];
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly Person<S>[], undefined> {
    const source = {
      subscribe: this.subscribe,
      read: () => (this.loaded ? this.#people : undefined),
      ended: () => !this.isOpen || this.bridge.closed,
    };
    return new LatestIterator(source, undefined);
  }

  #look(): void {
    if (this.refused) {
      throw this.refused;
    }
    if (this.bridge.closed) {
      [this.#people, this.#loaded] = [NOBODY, false];
      return;
    }
    const name = this.open();
    if (!this.isStale) {
      return;
    }
    this.isStale = false;
    const { people, loaded = false, over }: Partial<WireRoom<S, never>> = this.bridge.room<S, never>(name);
    this.#people = share(this.#people, people ?? NOBODY);
    this.#loaded = loaded;
    this.#problem = over && Object.freeze({ ...over, code: over.code as ErrorCode });
  }
}

/** Messages, one by one. An engine that takes over from another shows later ones alone: their numbers grow. */
class Ear<M> extends Way {
  #waiting: Message<M>[] = [];
  #numbers: number[] = [];
  #given = 0;

  read(): Message<M> | undefined {
    if (this.#waiting.length === 0 && !this.bridge.closed) {
      this.#look();
    }
    const [message, number] = [this.#waiting.shift(), this.#numbers.shift()];
    if (number !== undefined) {
      this.#given = number;
      const name = this.open();
      this.bridge.call((engine) => engine.taken(name, String(number)));
    }
    return message;
  }

  #look(): void {
    if (this.refused) {
      throw this.refused;
    }
    const name = this.open();
    if (!this.isStale) {
      return;
    }
    this.isStale = false;
    const { messages, dropped, over } = this.bridge.room<never, M>(name);
    if (over) {
      throw new RealtimeError(over.code, over.message);
    }
    const fresh = messages.filter(({ number }) => number > this.#given);
    this.#numbers = fresh.map(({ number }) => number);
    this.#waiting = fresh.map(({ from, data }, at) =>
      share(undefined, { from, data, dropped: at === 0 ? dropped : 0 }),
    );
  }
}

function heard<M>(
  bridge: Bridge,
  query: WireQuery,
  options: Waiting = {},
): AsyncIterableIterator<Message<M>, undefined> {
  const ear = new Ear<M>(bridge, query);
  const source = {
    subscribe: ear.subscribe,
    read: () => ear.read(),
    ended: () => bridge.closed,
  };
  return new LatestIterator<Message<M>>(source, options.signal, () => ear.close());
}
