import type { Bridge } from "./bridge.js";
import { RealtimeError } from "./errors.js";
import { add, bury, increment, put, remove, update } from "./intents.js";
import { LiveQuery } from "./live.js";
import type { WireQuery } from "./seam.js";
import type {
  Collection,
  Doc,
  Increments,
  Live,
  Members,
  Operation,
  Patch,
  Range,
  Strategy,
  Submitting,
  Waiting,
} from "./types.js";
import { orAborted } from "./waiting.js";
import { counted, joined, parted } from "./whole.js";

/** Documents that one live query shows at most, as the engine has it. */
const MAX_QUERY = 10_000;

/** One collection of a client. */
export class BoundCollection<T> implements Collection<T> {
  readonly name: string;
  readonly #bridge: Bridge;
  readonly #strategy: Strategy;

  constructor(bridge: Bridge, name: string, strategy: Strategy) {
    this.#bridge = bridge;
    this.name = name;
    this.#strategy = strategy;
  }

  async put(id: string, value: T, options?: Submitting): Promise<Operation> {
    return this.#submit(id, put(value), options);
  }

  async update(id: string, patch: Patch<T>, options?: Submitting): Promise<Operation> {
    return this.#change(id, update(patch), () => patch, options);
  }

  async increment(id: string, by: Increments<T>, options?: Submitting): Promise<Operation> {
    return this.#change(id, increment(by), (seen) => counted(seen, by), options);
  }

  async add(id: string, members: Members<T>, options?: Submitting): Promise<Operation> {
    return this.#change(id, add(members), (seen) => joined(seen, members), options);
  }

  async remove(id: string, members: Members<T>, options?: Submitting): Promise<Operation> {
    return this.#change(id, remove(members), (seen) => parted(seen, members), options);
  }

  async delete(id: string, options?: Submitting): Promise<Operation> {
    return this.#submit(id, bury(), options);
  }

  async get(id: string, options?: Waiting): Promise<Doc<T> | undefined> {
    checkId(id);
    const found = new LiveQuery<T>(this.#bridge, { one: [this.name, id] });
    try {
      const { value } = await found.iterate(options?.signal).next();
      if (value === undefined) {
        throw new RealtimeError("closed", "the client was closed before the document was read");
      }
      return value[0];
    } finally {
      found.close();
    }
  }

  live(range?: Range): Live<T> {
    return this.#follow(range);
  }

  watch(options?: Range & Waiting): AsyncIterable<readonly Doc<T>[]> {
    return {
      [Symbol.asyncIterator]: () => {
        const live = this.#follow(options);
        return live.iterate(options?.signal, () => live.close());
      },
    };
  }

  #follow({ from, to, limit }: Range = {}): LiveQuery<T> {
    if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= MAX_QUERY)) {
      throw new RealtimeError("invalid_value", `limit must be a whole number from 1 to ${MAX_QUERY}`);
    }
    const range = {
      collection: this.name,
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
      ...(limit !== undefined && { limit }),
    };
    return new LiveQuery<T>(this.#bridge, { range } satisfies WireQuery);
  }

  /** Changes a part of a document: by intents, or where such documents are written whole, by what they come to. */
  async #change(
    id: string,
    intents: string,
    patch: (seen: Readonly<Record<string, unknown>>) => object,
    options: Submitting | undefined,
  ): Promise<Operation> {
    if (this.#strategy !== "lastWriteWins") {
      return this.#submit(id, intents, options);
    }
    const seen: Readonly<Record<string, unknown>> = { ...(await this.get(id, options))?.value };
    return this.#submit(id, put({ ...seen, ...patch(seen) }), options);
  }

  async #submit(id: string, intents: string, options: Submitting | undefined): Promise<Operation> {
    checkId(id);
    options?.signal?.throwIfAborted();
    const after = [options?.after ?? []].flat().map(({ seq }) => seq);
    return orAborted(this.#bridge.submit(this.name, id, intents, after), options?.signal);
  }
}

/** Only what text encoding would change without a word; all other rules are the engine's. */
function checkId(id: unknown): void {
  if (typeof id !== "string" || /\p{Surrogate}/u.test(id)) {
    throw new RealtimeError("invalid_value", "a document id must be well-formed text; nothing was stored");
  }
}
