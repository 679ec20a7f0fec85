import { RealtimeError } from "../errors.js";
import type { Arguments } from "../calls.js";
import type { WireEvent } from "../seam.js";
import type { Submissions } from "./submissions.js";

/** A call as it waits in the store: which tab made it, under which ticket. */
export interface Draft {
  tab: string;
  ticket: number;
  method: string;
  /** Without the ticket. */
  args: unknown[];
}

/** Reads one; nothing if it is not one. */
export function draftOf(text: string): Draft | undefined {
  try {
    return JSON.parse(text) as Draft;
  } catch {
    return undefined;
  }
}

/** Drafts of one tab that are not answered; one more is refused. */
const MOST = 1_024;
/** Digits enough for any time in milliseconds, and for any number of drafts of a tab. */
const DIGITS = 14;

/**
 * What this tab has submitted and no leader has answered. Each is durable before the leader hears of it, and stays
 * until its answer has come, from whichever leader: as an event, or as the receipt in its place in the store.
 */
export class Drafts {
  readonly #tab: string;
  readonly #open: () => Promise<Submissions>;
  readonly #tell: (events: WireEvent[]) => void;
  /** There is something for the leader. */
  readonly #stored: () => void;
  #submissions: Promise<Submissions> | undefined;
  /** Unanswered tickets with their keys. */
  readonly #keys = new Map<number, string>();
  /** Of these, those that are durable. */
  readonly #durable = new Set<number>();
  #next: [ticket: number, key: string, text: string][] = [];
  #writing = false;
  #time = 0;
  #count = 0;

  constructor(
    tab: string,
    open: () => Promise<Submissions>,
    tell: (events: WireEvent[]) => void,
    stored: () => void,
  ) {
    this.#tab = tab;
    this.#open = open;
    this.#tell = tell;
    this.#stored = stored;
  }

  /** Whether anything waits for an answer. */
  get waiting(): boolean {
    return this.#keys.size > 0;
  }

  add(method: string, [ticket, ...args]: Arguments): void {
    if (this.#keys.size >= MOST) {
      throw new RealtimeError("outbox_full", `${MOST} operations of this tab wait to be taken over`);
    }
    // By time, so that drafts of tabs that are gone are adopted in about the order they were made in; and never
    // back, so that those of one tab keep theirs.
    this.#time = Math.max(this.#time, Date.now());
    const digits = (number: number) => String(number).padStart(DIGITS, "0");
    const key = `${digits(this.#time)}-${this.#tab}-${digits((this.#count += 1))}`;
    const draft: Draft = { tab: this.#tab, ticket: ticket as number, method, args };
    this.#keys.set(draft.ticket, key);
    this.#next.push([draft.ticket, key, JSON.stringify(draft)]);
    void this.#write();
  }

  /** The leader has answered. What is left of the draft goes. */
  answered(ticket: number): void {
    const key = this.#keys.get(ticket);
    if (key !== undefined) {
      this.#forget(ticket);
      void this.#use((submissions) => submissions.remove([key])).catch(() => undefined);
    }
  }

  /**
   * Refused by the leader, which is told once no leader can adopt the draft any more; if one has, that is. While it cannot
   * be taken away it waits, to be adopted or refused again: then this is false.
   */
  async refused(ticket: number, event: WireEvent): Promise<boolean> {
    const key = this.#keys.get(ticket);
    if (key === undefined) {
      return true;
    }
    const removed = await this.#use((submissions) => submissions.remove([key])).catch(() => undefined);
    if (removed && this.#keys.has(ticket)) {
      const [held] = removed;
      this.#forget(ticket);
      this.#tell([typeof held === "number" ? { submitted: [ticket, held] } : event]);
    }
    return removed !== undefined;
  }

  /** Looks for answers that a leader which is gone could not give any more; false if that was not possible. */
  async review(): Promise<boolean> {
    const asked = [...this.#durable];
    const all =
      asked.length > 0 && (await this.#use((submissions) => submissions.all()).catch(() => undefined));
    const found: WireEvent[] = [];
    for (const ticket of all ? asked : []) {
      const key = this.#keys.get(ticket);
      const held = key === undefined || !all ? "" : all.get(key);
      if (typeof held === "number") {
        found.push({ submitted: [ticket, held] });
        this.answered(ticket);
      } else if (held === undefined) {
        this.#refuse(ticket, new RealtimeError("not_durable", "the storage of this device was cleared"));
      }
    }
    if (found.length > 0) {
      // Some may have ended by now.
      this.#tell([...found, "reattached"]);
    }
    return all !== undefined;
  }

  /** No answer will come: this tab has parted from those that could give it. */
  abandon(): void {
    const unknown = new RealtimeError("engine_restarted", "it is not known here whether this was saved");
    [...this.#keys.keys()].forEach((ticket) => this.#refuse(ticket, unknown));
  }

  close(): void {
    void this.#submissions?.then(
      (submissions) => submissions.close(),
      () => undefined,
    );
    this.#submissions = undefined;
  }

  /** Writes what has come together during the write before. */
  async #write(): Promise<void> {
    if (this.#writing) {
      return;
    }
    this.#writing = true;
    while (this.#next.length > 0) {
      const batch = this.#next;
      this.#next = [];
      try {
        await this.#use((submissions) => submissions.put(batch.map(([, key, text]) => [key, text])));
        batch.forEach(([ticket]) => this.#durable.add(ticket));
        this.#stored();
      } catch (error) {
        batch.forEach(([ticket]) => this.#refuse(ticket, error as RealtimeError));
      }
    }
    this.#writing = false;
  }

  async #use<T>(use: (submissions: Submissions) => Promise<T>): Promise<T> {
    try {
      return await use(await (this.#submissions ??= this.#open()));
    } catch (error) {
      // The next attempt opens it anew.
      this.close();
      throw error;
    }
  }

  #refuse(ticket: number, { code, message, retryable }: RealtimeError): void {
    this.#forget(ticket);
    this.#tell([{ refused: [ticket, { code, message, retryable }] }]);
  }

  #forget(ticket: number): void {
    this.#keys.delete(ticket);
    this.#durable.delete(ticket);
  }
}
