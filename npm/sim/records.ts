/** A key, as far as any is used here: numbers come before text, and text before bytes. */
export type Key = number | string | Uint8Array;

/** `IDBKeyRange`. */
export class Range {
  private constructor(
    readonly lower: Key | undefined,
    readonly upper: Key | undefined,
    readonly lowerOpen: boolean,
    readonly upperOpen: boolean,
  ) {}

  static bound(lower: Key, upper: Key, lowerOpen = false, upperOpen = false): Range {
    return new Range(lower, upper, lowerOpen, upperOpen);
  }

  static upperBound(upper: Key, open = false): Range {
    return new Range(undefined, upper, false, open);
  }

  includes(key: Key): boolean {
    const below = this.lower === undefined ? 1 : compare(key, this.lower);
    const above = this.upper === undefined ? -1 : compare(key, this.upper);
    return (this.lowerOpen ? below > 0 : below >= 0) && (this.upperOpen ? above < 0 : above <= 0);
  }
}

/** The records of one object store, by key. */
export class Records {
  #entries: [Key, unknown][] = [];

  entries(): [Key, unknown][] {
    return [...this.#entries];
  }

  copy(): Records {
    const copy = new Records();
    copy.#entries = [...this.#entries];
    return copy;
  }

  /** Does what a request of this name does. */
  perform(
    method: string,
    key: Key | Range | undefined,
    value: unknown,
    count: number | undefined,
  ): { result: unknown } | "exists" {
    switch (method) {
      case "get":
        return { result: this.#select(key)[0]?.[1] };
      case "getAll":
        return { result: this.#select(key, count).map(([, held]) => held) };
      case "getAllKeys":
        return { result: this.#select(key, count).map(([held]) => held) };
      case "put":
      case "add":
        return this.#put(key as Key, value, method === "add");
      case "delete": {
        const gone = new Set(this.#select(key));
        this.#entries = this.#entries.filter((entry) => !gone.has(entry));
        return { result: undefined };
      }
      default:
        this.#entries = [];
        return { result: undefined };
    }
  }

  #select(key: Key | Range | undefined, count?: number): [Key, unknown][] {
    const selected = this.#entries.filter(
      ([held]) => key === undefined || (key instanceof Range ? key.includes(held) : compare(held, key) === 0),
    );
    return count ? selected.slice(0, count) : selected;
  }

  #put(key: Key, value: unknown, isNew: boolean): { result: unknown } | "exists" {
    const index = this.#entries.findIndex(([held]) => compare(held, key) >= 0);
    const at = index < 0 ? this.#entries.length : index;
    const found = this.#entries[at];
    const exists = found !== undefined && compare(found[0], key) === 0;
    if (exists && isNew) {
      return "exists";
    }
    this.#entries.splice(at, exists ? 1 : 0, [key, value]);
    return { result: key };
  }
}

function compare(one: Key, other: Key): number {
  const ranks = [one, other].map((key) => (typeof key === "number" ? 0 : typeof key === "string" ? 1 : 2));
  if (ranks[0] !== ranks[1]) {
    return (ranks[0] as number) - (ranks[1] as number);
  }
  if (one instanceof Uint8Array && other instanceof Uint8Array) {
    return Buffer.compare(one, other);
  }
  return one < other ? -1 : one > other ? 1 : 0;
}
