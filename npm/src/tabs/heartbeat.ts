/** Milliseconds between two beats. */
const BEAT = 2_000;
/** Questions in a row without an answer after which nobody is there to answer. They are counted rather than timed, as a
 * machine that slept has missed a lot of time and nothing else. */
const SILENCES = 2;

/** Milliseconds that one clock must have gone on without the other to mean that the machine slept. */
const SLEPT = 10_000;

/**
 * The regular occasion to ask whether the leader is there, with a count of the times that it did not answer; and to
 * notice that the machine slept, where the monotonic clock stands still meanwhile and Unix time goes on.
 */
export class Heartbeat {
  readonly #beat: () => void;
  readonly #woke: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #silences = 0;
  #origin = origin();

  constructor(beat: () => void, woke: () => void) {
    this.#beat = beat;
    this.#woke = woke;
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), BEAT);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Somebody has answered, or nobody was asked. */
  answered(): void {
    this.#silences = 0;
  }

  /** Counts one question more; false if too many have had no answer. */
  ask(): boolean {
    if (this.#silences >= SILENCES) {
      return false;
    }
    this.#silences += 1;
    return true;
  }

  #tick(): void {
    const before = this.#origin;
    this.#origin = origin();
    if (this.#origin - before >= SLEPT) {
      this.#woke();
    }
    this.#beat();
  }
}

/** What Unix time was at the zero of the monotonic clock. */
function origin(): number {
  return Date.now() - performance.now();
}
