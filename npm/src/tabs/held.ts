/** Numbers that follow one another, both ends included. */
type Range = [first: number, last: number];

/**
 * The operations that a leader's engine has stored and not settled. Followers are told their numbers with each state,
 * which is why they are kept here rather than asked of the engine, and go as ranges: the outbox may be long.
 */
export class Held {
  readonly #seqs: Set<number>;

  /** From the engine's list. */
  constructor(unsettled: string) {
    this.#seqs = new Set((JSON.parse(unsettled) as { seq: number }[]).map(({ seq }) => seq));
  }

  add(seq: number): void {
    this.#seqs.add(seq);
  }

  has(seq: number): boolean {
    return this.#seqs.has(seq);
  }

  delete(seq: number): void {
    this.#seqs.delete(seq);
  }

  /** As JSON text. */
  ranges(): string {
    const ranges: Range[] = [];
    for (const seq of [...this.#seqs].sort((a, b) => a - b)) {
      const before = ranges.at(-1);
      if (before && before[1] + 1 === seq) {
        before[1] = seq;
      } else {
        ranges.push([seq, seq]);
      }
    }
    return JSON.stringify(ranges);
  }
}

/** The engine's list of unsettled operations as far as a follower knows it, their numbers, from a leader's ranges. */
export function listed(ranges: string): string {
  const seqs = (JSON.parse(ranges) as Range[]).flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, index) => ({ seq: first + index })),
  );
  return JSON.stringify(seqs);
}
