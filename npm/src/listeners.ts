/** Callbacks of one source of changes. */
export class Listeners {
  readonly #callbacks = new Map<symbol, () => void>();

  /** Adds a callback; the function returned removes it. The same function may be added twice. */
  add(callback: () => void): () => void {
    const key = Symbol();
    this.#callbacks.set(key, callback);
    return () => void this.#callbacks.delete(key);
  }

  /** Calls each. One that throws is reported as the page's uncaught error and keeps no other from its turn. */
  notify(): void {
    for (const callback of [...this.#callbacks.values()]) {
      try {
        callback();
      } catch (error) {
        reportError(error);
      }
    }
  }
}
