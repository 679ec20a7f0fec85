/** Whose ticket or query it is, and what its owner calls it. The leader's own have no tab. */
export interface Owned {
  tab: string | undefined;
  name: number;
}

/** The engine's names for tickets or queries of several tabs, which each count for themselves. */
export class Names<T extends Owned> {
  readonly #owned = new Map<number, T>();
  readonly #names = new Map<string, number>();
  #last = 0;

  /** A name for the engine. */
  give(owned: T): number {
    this.#owned.set((this.#last += 1), owned);
    this.#names.set(key(owned), this.#last);
    return this.#last;
  }

  /** What the engine calls it. */
  of(tab: string | undefined, name: number): number | undefined {
    return this.#names.get(key({ tab, name }));
  }

  get(name: number): T | undefined {
    return this.#owned.get(name);
  }

  take(name: number): T | undefined {
    const owned = this.#owned.get(name);
    if (owned) {
      this.#owned.delete(name);
      this.#names.delete(key(owned));
    }
    return owned;
  }

  /** All of them, with the engine's names. */
  entries(): [number, T][] {
    return [...this.#owned];
  }
}

function key({ tab, name }: Owned): string {
  return `${tab ?? ""}:${name}`;
}
