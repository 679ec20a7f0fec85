import type { Bridge } from "./bridge.js";
import { RealtimeError } from "./errors.js";
import { put, remove, update } from "./intents.js";
import { LiveQuery } from "./live.js";
import type { WireQuery } from "./seam.js";
import type { Collection, Doc, Live, Operation, Patch, Range, Strategy, Waiting } from "./types.js";
import { orAborted } from "./waiting.js";

/** Documents that one live query shows at most, as the engine has it. */
const MAX_QUERY = 10_000;

/** One collection of a client. */
export class BoundCollection<T> implements Collection<T> {
  readonly name: string;
  readonly #bridge: Bridge;
  readonly #strategy: Strategy;
  readonly #schema: number;

  constructor(bridge: Bridge, name: string, strategy: Strategy, schema: number) {
    this.#bridge = bridge;
    this.name = name;
    this.#strategy = strategy;
    this.#schema = schema;
  }

  async put(id: string, value: T, options?: Waiting): Promise<Operation> {
    return this.#submit(id, put(value), options);
  }

  async update(id: string, patch: Patch<T>, options?: Waiting): Promise<Operation> {
    const intents = update(patch);
    if (this.#strategy !== "lastWriteWins") {
      return this.#submit(id, intents, options);
    }
    // Such documents are written whole: as this client sees it now, with the patch laid over it.
    const seen = await this.get(id, options);
    return this.#submit(id, put({ ...seen?.value, ...patch }), options);
  }

  async delete(id: string, options?: Waiting): Promise<Operation> {
    return this.#submit(id, remove(), options);
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

  async #submit(id: string, intents: string, options: Waiting | undefined): Promise<Operation> {
    checkId(id);
    options?.signal?.throwIfAborted();
    return orAborted(this.#bridge.submit(this.name, id, this.#schema, intents), options?.signal);
  }
}

/** Only what text encoding would change without a word; all other rules are the engine's. */
function checkId(id: unknown): void {
  if (typeof id !== "string" || /\p{Surrogate}/u.test(id)) {
    throw new RealtimeError("invalid_value", "a document id must be well-formed text; nothing was stored");
  }
}
