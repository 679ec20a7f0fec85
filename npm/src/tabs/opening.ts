import { RealtimeError } from "../errors.js";
import type { Engine, OpenEngine, WireStatus } from "../seam.js";
import type { Submissions } from "./submissions.js";

/** Attempts in a row of a tab that has had storage, after which that is not believed to come back. */
const MOST_ATTEMPTS = 100;

/**
 * Opens the engine for a tab that may come to lead. Where there never was storage an engine does without; but a tab that
 * has shown what is stored must not come to show less, nor part from the others, because the storage fails for a while.
 */
export class Opening {
  readonly #open: OpenEngine;
  readonly #start: Parameters<OpenEngine>;
  readonly #submissions: () => Promise<Submissions>;
  #wasDurable = false;
  #failures = 0;

  constructor(open: OpenEngine, start: Parameters<OpenEngine>, submissions: () => Promise<Submissions>) {
    this.#open = open;
    this.#start = start;
    this.#submissions = submissions;
  }

  /** This tab shows what is stored, by whichever engine. */
  durable(): void {
    this.#wasDurable = true;
  }

  /**
   * An engine that tells `heard` its events. If it `shares`, the submissions of the other tabs as well; there are none
   * where the engine has no storage. Rejects if another tab was quicker, with the code `fenced`, or if there is no opening
   * it at this moment.
   */
  async attempt(
    heard: (json: string) => void,
    shares: boolean,
  ): Promise<[engine: Engine, submissions: Submissions | undefined]> {
    const [options, token, , ...rest] = this.#start;
    // Unless this is the first time, the engine has made their database before: it is opened beside the other.
    const early = shares ? this.#submissions().catch(() => undefined) : Promise.resolve(undefined);
    let submissions: Submissions | undefined;
    try {
      const engine = await this.#open(options, token, heard, ...rest);
      try {
        submissions = await this.#shareable(engine, shares, early);
        this.#failures = 0;
        return [engine, submissions];
      } catch (error) {
        await engine.stop();
        throw error;
      }
    } finally {
      if (!submissions) {
        void early.then((unused) => unused?.close());
      }
    }
  }

  /** It could not be opened. Whether to try again: not if there never was storage, or if it has been away for long. */
  failed(): boolean {
    return this.#wasDurable && (this.#failures += 1) <= MOST_ATTEMPTS;
  }

  async #shareable(
    engine: Engine,
    shares: boolean,
    early: Promise<Submissions | undefined>,
  ): Promise<Submissions | undefined> {
    const { durable } = JSON.parse(engine.status()) as WireStatus;
    this.#wasDurable ||= durable;
    if (!shares) {
      return undefined;
    }
    if (durable) {
      return (await early) ?? this.#submissions();
    }
    if (this.#wasDurable && this.#failures < MOST_ATTEMPTS) {
      throw new RealtimeError("storage_unavailable", "the storage of this device cannot be opened");
    }
    return undefined;
  }
}
