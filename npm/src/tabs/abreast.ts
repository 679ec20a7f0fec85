import type { WireEvent } from "../seam.js";
import { isLoaded } from "./shown.js";

/** What has to be heard from an engine: that it tells this tab everything from now on, or a live query's view. */
type Awaited = number | "reattached";

/**
 * After a change of the engine what is shown is the former one's until the new one has read. Meanwhile nobody hears that
 * an edit is saved: whoever hears it has to see it, and to know it by the present engine's name.
 */
export class Abreast {
  readonly #tell: (events: WireEvent[]) => void;
  #behind = new Set<Awaited>();
  #answers: WireEvent[] = [];

  constructor(tell: (events: WireEvent[]) => void) {
    this.#tell = tell;
  }

  /** There is another engine, and these have to be heard from it. */
  await(awaited: Iterable<Awaited>): void {
    this.#behind = new Set(awaited);
    if (this.#behind.size === 0) {
      this.#reach();
    }
  }

  /** Looks at what the awaited queries show by now; nothing, if they are not open any more. */
  look(view: (query: number) => string | undefined): void {
    const queries = [...this.#behind].filter((awaited) => awaited !== "reattached");
    for (const awaited of queries) {
      const text = view(awaited);
      if (text === undefined || isLoaded(text)) {
        this.heard(awaited);
      }
    }
  }

  /** This is heard, or not to be shown any more. */
  heard(awaited: Awaited): void {
    if (this.#behind.delete(awaited) && this.#behind.size === 0) {
      this.#reach();
    }
  }

  /** Tells of events, of some of them later. */
  tell(events: WireEvent[]): void {
    if (this.#behind.size === 0) {
      this.#tell(events);
      return;
    }
    const isAnswer = (event: WireEvent) => typeof event === "object" && "submitted" in event;
    this.#answers.push(...events.filter(isAnswer));
    this.#tell(events.filter((event) => !isAnswer(event)));
  }

  #reach(): void {
    const answers = this.#answers;
    this.#answers = [];
    if (answers.length > 0) {
      // Some may have ended meanwhile.
      this.#tell([...answers, "reattached"]);
    }
  }
}
