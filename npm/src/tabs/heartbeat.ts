/** Milliseconds between two beats. */
const BEAT = 2_000;
/** Questions in a row without an answer after which nobody is there to answer. They are counted rather than timed, as a
 * machine that slept has missed a lot of time and nothing else. */
const SILENCES = 2;

/** The regular occasion to ask whether the leader is there, with a count of the times that it did not answer. */
export class Heartbeat {
  readonly #beat: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #silences = 0;

  constructor(beat: () => void) {
    this.#beat = beat;
  }

  start(): void {
    this.#timer = setInterval(this.#beat, BEAT);
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
}
