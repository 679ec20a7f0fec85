import type { WireEvent } from "../seam.js";

type Settled = Extract<WireEvent, { settled: unknown }>;

/** Ends of operations that are remembered. */
const MOST = 1_024;

/**
 * What the application of one tab has been told. Incidents of the start are told once, whoever leads; and how lately an
 * operation ended is remembered, for tabs that were away then, and for handles that are given out later.
 */
export class Told {
  readonly #ends = new Map<number, Settled>();
  #damaged = 0;

  /** What there is to tell of an event. */
  take(event: WireEvent): WireEvent[] {
    if (typeof event !== "object") {
      return [event];
    }
    if ("storageDamaged" in event) {
      const before = this.#damaged;
      this.#damaged = event.storageDamaged;
      return before === this.#damaged ? [] : [event];
    }
    if ("reopened" in event) {
      this.#ends.delete(event.reopened);
      return [];
    }
    if ("settled" in event) {
      this.#ends.set(event.settled[0], event);
      for (const seq of [...this.#ends.keys()].slice(0, -MOST)) {
        this.#ends.delete(seq);
      }
    }
    const end = "submitted" in event && this.#ends.get(event.submitted[1]);
    return end ? [event, end] : [event];
  }

  /** How an operation ended. */
  end(seq: number): Settled | undefined {
    return this.#ends.get(seq);
  }

  /** What a tab that comes later should know. */
  get standing(): WireEvent[] {
    return this.#damaged > 0 ? [{ storageDamaged: this.#damaged }] : [];
  }
}
