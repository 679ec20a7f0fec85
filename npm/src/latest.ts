/** A value that changes, and may end. */
export interface Source<T> {
  /** Calls back after each change and at the end. */
  subscribe(listener: () => void): () => void;
  /** The value; `undefined` while there is none yet. What it throws ends the iteration. */
  read(): T | undefined;
  /** Whether it will change no more. */
  ended(): boolean;
}

interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(reason: unknown): void;
}

/**
 * Iterates over the newest values of a source. It holds no queue of values: who is slow gets the latest and
 * misses those between. Not a generator, because `return()` must end a `next()` that waits.
 */
export class LatestIterator<T extends object> implements AsyncIterableIterator<T, undefined> {
  readonly #source: Source<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #cleanUp: () => void;
  #delivered: T | undefined;
  #waiters: Waiter<T>[] = [];
  #over = false;
  #failure: { reason: unknown } | undefined;

  /** `cleanUp` is called once, at the end of the iteration, however it comes. */
  constructor(source: Source<T>, signal: AbortSignal | undefined, cleanUp: () => void = () => undefined) {
    this.#source = source;
    this.#signal = signal;
    const unsubscribe = source.subscribe(this.#advance);
    this.#cleanUp = () => {
      unsubscribe();
      signal?.removeEventListener("abort", this.#abort);
      cleanUp();
    };
    if (signal?.aborted) {
      this.#abort();
    } else {
      signal?.addEventListener("abort", this.#abort, { once: true });
    }
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#advance();
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #abort = (): void => this.#fail(this.#signal?.reason);

  readonly #advance = (): void => {
    try {
      while (this.#deliver());
    } catch (error) {
      this.#fail(error);
    }
    this.#drain();
  };

  /** Whether there was something to deliver. */
  #deliver(): boolean {
    if (this.#over || this.#waiters.length === 0) {
      return false;
    }
    const value = this.#source.read();
    if (value !== undefined && value !== this.#delivered) {
      this.#delivered = value;
      this.#waiters.shift()?.resolve({ done: false, value });
      return true;
    }
    if (this.#source.ended()) {
      this.#end();
    }
    return false;
  }

  #fail(reason: unknown): void {
    this.#failure = { reason };
    this.#end();
  }

  #end(): void {
    if (!this.#over) {
      this.#over = true;
      this.#cleanUp();
    }
    this.#drain();
  }

  /** After the end: the failure goes to one waiter, as a generator would have it, `done` to the others. */
  #drain(): void {
    while (this.#over) {
      const waiter = this.#waiters.shift();
      if (!waiter) {
        return;
      }
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure) {
        waiter.reject(failure.reason);
      } else {
        waiter.resolve({ done: true, value: undefined });
      }
    }
  }
}
