import assert from "node:assert/strict";
import test from "node:test";
import { LatestIterator, type Source } from "../src/latest.js";
import { Listeners } from "../src/listeners.js";

/** A source that the test changes and ends. */
class Variable implements Source<{ n: number }> {
  readonly listeners = new Listeners();
  subscriptions = 0;
  #value: { n: number } | undefined;
  #ended = false;

  set(n: number): void {
    this.#value = { n };
    this.listeners.notify();
  }
  end(): void {
    this.#ended = true;
    this.listeners.notify();
  }
  subscribe(listener: () => void): () => void {
    this.subscriptions++;
    const remove = this.listeners.add(listener);
    return () => {
      this.subscriptions--;
      remove();
    };
  }
  read(): { n: number } | undefined {
    return this.#value;
  }
  ended(): boolean {
    return this.#ended;
  }
}

test("a slow reader gets the latest value and nothing piles up", async () => {
  const source = new Variable();
  const values = new LatestIterator(source, undefined);
  source.set(1);
  assert.deepEqual(await values.next(), { done: false, value: { n: 1 } });
  for (let n = 2; n <= 1000; n++) {
    source.set(n);
  }
  assert.deepEqual(await values.next(), { done: false, value: { n: 1000 } });
  const next = values.next();
  source.set(1001);
  assert.deepEqual(await next, { done: false, value: { n: 1001 } });
});

test("a value is given once", async () => {
  const source = new Variable();
  const values = new LatestIterator(source, undefined);
  source.set(1);
  await values.next();
  let came = false;
  const next = values.next().then((result) => ((came = true), result));
  source.listeners.notify();
  await new Promise(setImmediate);
  assert.equal(came, false);
  source.set(2);
  assert.equal((await next).value?.n, 2);
});

test("leaving the loop cleans up", async () => {
  const source = new Variable();
  let cleaned = 0;
  source.set(1);
  for await (const value of new LatestIterator(source, undefined, () => cleaned++)) {
    assert.equal(value.n, 1);
    break;
  }
  assert.deepEqual([cleaned, source.subscriptions], [1, 0]);
});

test("return() ends a next() that waits", async () => {
  const source = new Variable();
  const values = new LatestIterator(source, undefined);
  const waiting = [values.next(), values.next()];
  assert.deepEqual(await values.return(), { done: true, value: undefined });
  assert.deepEqual(await Promise.all(waiting), [
    { done: true, value: undefined },
    { done: true, value: undefined },
  ]);
  assert.equal(source.subscriptions, 0);
});

test("an abort rejects with the signal's reason, cleans up, and the iterator is over", async () => {
  const source = new Variable();
  const controller = new AbortController();
  let cleaned = 0;
  const values = new LatestIterator(source, controller.signal, () => cleaned++);
  const waiting = values.next();
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  assert.deepEqual(await values.next(), { done: true, value: undefined });
  assert.deepEqual([cleaned, source.subscriptions], [1, 0]);
});

test("a signal that was aborted before rejects the first next()", async () => {
  const values = new LatestIterator(new Variable(), AbortSignal.abort("late"));
  await assert.rejects(values.next(), (reason) => reason === "late");
  assert.equal((await values.next()).done, true);
});

test("the end of the source gives its last value first", async () => {
  const source = new Variable();
  const values = new LatestIterator(source, undefined);
  source.set(1);
  source.end();
  const seen = [];
  for await (const value of values) {
    seen.push(value.n);
  }
  assert.deepEqual([seen, source.subscriptions], [[1], 0]);
});

test("an iterator that has ended leaves no listener on a signal that lives on", async () => {
  const controller = new AbortController();
  let listeners = 0;
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = ((...args: Parameters<typeof add>) => (listeners++, add(...args))) as typeof add;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => (
    listeners--,
    remove(...args)
  )) as typeof remove;
  const values = new LatestIterator(new Variable(), signal);
  assert.equal(listeners, 1);
  await values.return();
  assert.equal(listeners, 0);
});
