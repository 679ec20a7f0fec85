import type { Bridge, Follower } from "./bridge.js";
import type { RealtimeError } from "./errors.js";
import { LatestIterator } from "./latest.js";
import { Listeners } from "./listeners.js";
import type { WireQuery, WireView } from "./seam.js";
import { share } from "./snapshot.js";
import { dispose } from "./symbols.js";
import type { Doc, Live } from "./types.js";

const NOTHING: readonly never[] = Object.freeze([]);

/** A live query of the engine, read only when somebody looks and something has changed. */
export class LiveQuery<T> implements Live<T>, Follower {
  readonly #bridge: Bridge;
  readonly #name: number;
  readonly #listeners = new Listeners();
  #documents: readonly Doc<T>[] = NOTHING;
  #loaded = false;
  #stale = true;
  #closed = false;
  #refused: RealtimeError | undefined;

  constructor(bridge: Bridge, query: WireQuery) {
    this.#bridge = bridge;
    this.#name = bridge.openQuery(query, this);
  }

  get loaded(): boolean {
    this.#refresh();
    return this.#loaded;
  }

  readonly getSnapshot = (): readonly Doc<T>[] => {
    this.#refresh();
    return this.#documents;
  };

  readonly subscribe = (listener: () => void): (() => void) => this.#listeners.add(listener);

  /** Iterates over the snapshots, from the first that is loaded. `cleanUp` is called at the end. */
  iterate(signal?: AbortSignal, cleanUp?: () => void): LatestIterator<readonly Doc<T>[]> {
    const source = {
      subscribe: this.subscribe,
      read: () => (this.loaded ? this.#documents : undefined),
      ended: () => this.#closed || this.#bridge.closed,
    };
    return new LatestIterator(source, signal, cleanUp);
  }

  [Symbol.asyncIterator](): LatestIterator<readonly Doc<T>[]> {
    return this.iterate();
  }

  close(): void {
    if (!this.#closed) {
      this.#closed = true;
      this.#bridge.closeQuery(this.#name);
      this.#listeners.notify();
    }
  }

  [dispose](): void {
    this.close();
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

  #refresh(): void {
    if (this.#refused) {
      throw this.#refused;
    }
    if (!this.#stale || this.#closed || this.#bridge.closed) {
      return;
    }
    this.#stale = false;
    const view = this.#bridge.view(this.#name);
    // An engine that was just started again has to read first; until then the last snapshot stands.
    if (this.#loaded && !view.loaded) {
      return;
    }
    this.#loaded = view.loaded;
    this.#documents = snapshot(this.#documents, view);
  }
}

/** Puts the engine's documents in their public shape; those that did not change are the same objects. */
function snapshot<T>(before: readonly Doc<T>[], view: WireView): readonly Doc<T>[] {
  const known = new Map(before.map((doc) => [doc.id, doc]));
  const documents = view.documents.map(({ id, fields, pending, conflicted, updated }) => {
    const value = fields as T;
    const doc: Doc<T> =
      updated === undefined
        ? { id, value, pending, conflicted }
        : { id, value, pending, conflicted, updatedAt: updated };
    return share(known.get(id), doc);
  });
  return share(before, documents);
}
