import { RealtimeError } from "./errors.js";
import { edited } from "./intents.js";
import type { WireOutcome } from "./seam.js";
import type { Edit, Operation, Outcome, Waiting } from "./types.js";
import { orAborted } from "./waiting.js";

interface Waiter {
  resolve(outcome: Outcome): void;
  reject(reason: unknown): void;
}

/** What the engine can be asked to do with an operation; each resolves once that is durable. */
export interface Amender {
  edit(seq: number, intents: string): Promise<Operation>;
  retry(seq: number): Promise<Operation>;
  abort(seq: number): Promise<Operation>;
}

/** The handle of an operation. Makes promises only when asked, so that one nobody awaits cannot go unhandled. */
export class SavedOperation implements Operation {
  readonly id: string;
  readonly seq: number;
  readonly durable: boolean;
  #outcome: Outcome | undefined;
  /** Why nobody will tell. */
  #lost: RealtimeError | undefined;
  readonly #waiters = new Set<Waiter>();
  readonly #amender: Amender;

  constructor(amender: Amender, client: string, seq: number, durable: boolean) {
    this.#amender = amender;
    this.id = `${client}:${seq}`;
    this.seq = seq;
    this.durable = durable;
  }

  outcome(options?: Waiting): Promise<Outcome> {
    if (this.#outcome) {
      return Promise.resolve(this.#outcome);
    }
    if (this.#lost) {
      return Promise.reject(this.#lost);
    }
    let waiter: Waiter | undefined;
    const settled = new Promise<Outcome>((resolve, reject) => {
      waiter = { resolve, reject };
      this.#waiters.add(waiter);
    });
    return orAborted(settled, options?.signal).finally(() => waiter && this.#waiters.delete(waiter));
  }

  async edit(change: Edit): Promise<Operation> {
    return this.#amender.edit(this.seq, edited(change));
  }

  retry(): Promise<Operation> {
    return this.#amender.retry(this.seq);
  }

  async abort(): Promise<void> {
    await this.#amender.abort(this.seq);
  }

  /** The engine has told what became of it. */
  settle(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#waiters.forEach((waiter) => waiter.resolve(outcome));
  }

  /** Nobody will tell any more. */
  abandon(why: RealtimeError): void {
    this.#lost = why;
    this.#waiters.forEach((waiter) => waiter.reject(why));
  }
}

/** Reads an outcome. */
export function outcome(wire: WireOutcome): Outcome {
  if ("merged" in wire) {
    return Object.freeze({ type: "merged", lost: Object.freeze(wire.merged.lost) });
  }
  if ("superseded" in wire) {
    return Object.freeze({ type: "superseded" });
  }
  if ("published" in wire) {
    return Object.freeze({ type: "published", position: wire.published.position });
  }
  if ("conflicted" in wire) {
    const { fields, theirs } = wire.conflicted;
    return Object.freeze({
      type: "conflicted",
      fields: Object.freeze(fields),
      ...(theirs && { theirs: Object.freeze(theirs) }),
    });
  }
  if ("rejected" in wire) {
    const { code, message } = wire.rejected;
    return Object.freeze({ type: "rejected", code, message });
  }
  return Object.freeze({ type: "accepted" });
}

/** The client has ended before the operation. */
export function closed(): RealtimeError {
  return new RealtimeError(
    "closed",
    "the client is closed; the operation stays saved and is sent by the next client of this name",
  );
}

/** The operation ended while nobody listened. */
export function forgotten(): RealtimeError {
  return new RealtimeError("outcome_unknown", "the operation has ended unobserved; its document shows how");
}
