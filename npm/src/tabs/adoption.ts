import type { Submissions } from "./submissions.js";

/** Milliseconds between looks that nobody asked for: for what a tab could leave but not tell of. */
const FROM_TIME_TO_TIME = 15_000;
/** Receipts that are kept for tabs that may come back from where the browser has put them aside. */
const MOST_RECEIPTS = 1_024;

/** Who does what is found. */
interface Adopter {
  /**
   * Asks the engine for it, under a ticket that names the key; answered by `adopted`, `refused`, `drop` or `again`.
   * An `orphan` is of a tab that is gone.
   */
  adopt(key: string, text: string, orphan: boolean): void;
}

/**
 * Finds submissions in the store and has each adopted once. It reads the store and believes nobody else: what stands
 * there as text has not become an operation, by the commit that would have put a receipt in its place.
 */
export class Adoption {
  readonly #submissions: Submissions;
  readonly #adopter: Adopter;
  readonly #living: () => Promise<ReadonlySet<string>>;
  /** Keys that were seen and are not to be asked for again: under way, or answered since the store was last read. */
  readonly #known = new Map<string, "asked" | "answered" | "refused" | "refused long ago">();
  readonly #timer: ReturnType<typeof setInterval>;
  #looking = false;
  #again = false;
  #departed = false;
  #stopped = false;

  /** `living` tells which tabs there are, whether or not they follow yet. */
  constructor(submissions: Submissions, adopter: Adopter, living: () => Promise<ReadonlySet<string>>) {
    this.#submissions = submissions;
    this.#adopter = adopter;
    this.#living = living;
    this.#timer = setInterval(() => this.#reconsider(), FROM_TIME_TO_TIME);
    this.look();
  }

  /** There may be something new. */
  look(): void {
    this.#again = true;
    void this.#look();
  }

  /** A tab is gone: what was refused to it, or to one before it, nobody takes away. */
  gone(): void {
    this.#departed = true;
    this.look();
  }

  /**
   * What was refused may end otherwise now. Not what was refused just now: its tab may be about to take it away, and
   * between a look and the commit after it would be done although its tab was told that it is not.
   */
  #reconsider(): void {
    for (const [key, state] of this.#known) {
      if (state === "refused") {
        this.#known.set(key, "refused long ago");
      } else if (state === "refused long ago") {
        this.#known.delete(key);
      }
    }
    this.look();
  }

  adopted(key: string): void {
    this.#known.set(key, "answered");
  }

  /** Its tab hears of it and takes it away. */
  refused(key: string): void {
    this.#known.set(key, "refused");
  }

  /** Not done, and not refused either. */
  again(key: string): void {
    this.#known.set(key, "answered");
    this.look();
  }

  /** Refused for good, and nobody will hear of it: nothing is lost with it. */
  drop(key: string): void {
    void this.#submissions.remove([key]).catch(() => undefined);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#submissions.close();
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      return;
    }
    this.#looking = true;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        await this.#read();
      } catch {
        // The storage has trouble, which the engine tells of. The next look is not far.
        break;
      }
    }
    this.#looking = false;
  }

  async #read(): Promise<void> {
    // What was answered before this read began shows as answered in what is read.
    for (const [key, state] of this.#known) {
      if (state === "answered") {
        this.#known.delete(key);
      }
    }
    const all = await this.#submissions.all();
    const living = await this.#living();
    const departed = this.#departed;
    this.#departed = false;
    for (const [key, state] of this.#known) {
      const nobodys = departed && state.startsWith("refused") && !living.has(tabOf(key));
      if (nobodys || !all.has(key)) {
        this.#known.delete(key);
      }
    }
    const receipts: string[] = [];
    for (const [key, held] of all) {
      if (this.#stopped) {
        return;
      }
      if (typeof held === "number") {
        receipts.push(key);
      } else if (!this.#known.has(key)) {
        this.#known.set(key, "asked");
        this.#adopter.adopt(key, held, !living.has(tabOf(key)));
      }
    }
    // Each tab takes its receipts away itself, once it has read them. The oldest ones have waited in vain.
    if (receipts.length > MOST_RECEIPTS) {
      await this.#submissions.remove(receipts.slice(0, -MOST_RECEIPTS));
    }
  }
}

/** Whose submission it is. */
const tabOf = (key: string): string => key.split("-")[1] ?? "";
