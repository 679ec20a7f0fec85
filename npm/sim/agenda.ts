interface Entry {
  at: number;
  order: number;
  run(): void;
}

/** What is to happen, by virtual time in milliseconds; at one time in the order it was put here. */
export class Agenda {
  /** The monotonic clock. It stands still while something happens. */
  now = 0;
  readonly #entries: Entry[] = [];
  #order = 0;
  /** When the last thing arrives on each way. */
  readonly #arrivals = new Map<string, number>();

  /** Has it happen so many milliseconds from now. */
  after(delay: number, run: () => void): void {
    const entry = { at: this.now + Math.max(0, delay), order: (this.#order += 1), run };
    const entries = this.#entries;
    let index = entries.push(entry) - 1;
    while (index > 0) {
      const above = (index - 1) >> 1;
      if (!isBefore(entry, entries[above] as Entry)) {
        break;
      }
      entries[index] = entries[above] as Entry;
      index = above;
    }
    entries[index] = entry;
  }

  /** Likewise, but not before what took the same way earlier. */
  inOrder(way: string, delay: number, run: () => void): void {
    const at = Math.max(this.#arrivals.get(way) ?? 0, this.now + delay);
    this.#arrivals.set(way, at);
    this.after(at - this.now, run);
  }

  /** When the next thing happens. */
  get next(): number {
    return this.#entries[0]?.at ?? Infinity;
  }

  /** Lets the next thing happen, and time go on until then; false if there is none. */
  step(): boolean {
    const first = this.#take();
    if (!first) {
      return false;
    }
    this.now = Math.max(this.now, first.at);
    first.run();
    return true;
  }

  #take(): Entry | undefined {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (!last || last === first) {
      return first;
    }
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child + 1 < entries.length && isBefore(entries[child + 1] as Entry, entries[child] as Entry)) {
        child += 1;
      }
      const below = entries[child];
      if (!below || isBefore(last, below)) {
        break;
      }
      entries[index] = below;
      index = child;
    }
    entries[index] = last;
    return first;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
