/// <reference lib="esnext.disposable" preserve="true" />

import type { Operation, Submitting, Waiting } from "./outcome.js";

/** A document as this device knows it: what the server has, with the operations still pending laid over it. */
export interface Doc<T> {
  readonly id: string;
  /** Its fields. Frozen; equal parts of successive snapshots are the same objects. */
  readonly value: Readonly<T>;
  /** Whether an operation on it waits for the server. */
  readonly pending: boolean;
  /** Whether one of them waits for somebody to decide a conflict. */
  readonly conflicted: boolean;
  /** When it was last written, in milliseconds of Unix time, once the server has it. */
  readonly updatedAt?: number | undefined;
}

/** Whether a type is JSON through and through; parts that are not become `never`. */
export type Json<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends bigint | symbol | ((...args: never[]) => unknown)
    ? never
    : T extends object
      ? JsonFields<T>
      : never;

/** The fields of a document type, each JSON. */
export type JsonFields<T> = { [K in keyof T]: Json<T[K]> };

/** Fields to change; `undefined` takes a field away. */
export type Patch<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Those fields of a document type that hold a value of some type; a type without any takes no field at all. */
type FieldsOf<T, V> = { [K in keyof T as NonNullable<T[K]> extends V ? K : never]?: NonNullable<T[K]> };
type Only<F> = [keyof F] extends [never] ? Readonly<Record<string, never>> : Readonly<F>;

/** By how much to count the fields of a document that hold numbers. Whole numbers, also below 0. */
export type Increments<T> = Only<{ [K in keyof FieldsOf<T, number>]?: number }>;

/** Members of the sets of a document, which are the fields that hold arrays. */
export type Members<T> = Only<FieldsOf<T, readonly unknown[]>>;

/** Which documents of a collection, by id in the order of their UTF-8 bytes. */
export interface Range {
  /** The smallest id; without it the first. */
  from?: string | undefined;
  /** The first id beyond; without it there is no bound. */
  to?: string | undefined;
  /** How many at most: 1 to 10,000, the default. */
  limit?: number | undefined;
}

/**
 * Documents of one kind.
 *
 * Whatever changes a document resolves once the operation is durable on this device, not once the server has
 * it: await `outcome()` of the operation for that. When they reject with a `RealtimeError`, nothing was kept.
 * Three rejections leave it open whether the operation was kept, as it can no longer be taken back: a signal
 * that aborts after the call (one aborted before the call keeps it from being made), and the codes `closed` and
 * `engine_restarted`. The document itself shows which.
 *
 * Values are plain JSON. Anything else (functions, `BigInt`, cycles, class instances, numbers that are not
 * finite, keys named `__proto__`, `constructor` or `prototype`) is refused with code `invalid_value`.
 */
export interface Collection<T> {
  readonly name: string;
  /** The document shall hold exactly these fields. */
  put(id: string, value: T, options?: Submitting): Promise<Operation>;
  /** These fields shall change, others stay. */
  update(id: string, patch: Patch<T>, options?: Submitting): Promise<Operation>;
  /**
   * These numbers shall count up, or down. Counting commutes: of two devices that count, both count, whatever they saw.
   * A field that is missing counts from 0.
   *
   * Where documents are written whole (`lastWriteWins`) the document is put as it is seen now, with the sum.
   */
  increment(id: string, by: Increments<T>, options?: Submitting): Promise<Operation>;
  /**
   * These arrays, taken as sets, shall have these members. Equal members, by their JSON, are one. Adding commutes;
   * against a `remove` made without knowing of it the member stays.
   *
   * Where documents are written whole (`lastWriteWins`) the document is put as it is seen now, with the members.
   */
  add(id: string, members: Members<T>, options?: Submitting): Promise<Operation>;
  /** These arrays, taken as sets, shall not have these members, as far as this device knows of them; as with `add`. */
  remove(id: string, members: Members<T>, options?: Submitting): Promise<Operation>;
  /** The document shall be gone, also against edits made without knowing of this. */
  delete(id: string, options?: Submitting): Promise<Operation>;
  /**
   * Reads one document from this device, as last known and with pending operations applied. While it waits it
   * counts among the documents that are followed.
   */
  get(id: string, options?: Waiting): Promise<Doc<T> | undefined>;
  /** Follows documents until `close()`. */
  live(range?: Range): Live<T>;
  /** Follows documents for as long as the loop runs: once when they are loaded, then after each change. */
  watch(options?: Range & Waiting): AsyncIterable<readonly Doc<T>[]>;
}

/**
 * Documents that are followed. `subscribe` and `getSnapshot` are bound and fit React's `useSyncExternalStore`.
 *
 * A client follows at most 1,024 documents and ranges at one time. One more is refused: reading it throws, and
 * loops over it reject with, code `too_many`.
 *
 * As an async iterable it gives the newest snapshot: a slow loop skips the ones between, nothing piles up.
 */
export interface Live<T> extends Disposable, AsyncIterable<readonly Doc<T>[]> {
  /** The documents by id. Cached and frozen: the same array until something changes. Empty until loaded. */
  readonly getSnapshot: () => readonly Doc<T>[];
  /** Whether the documents of this device have been read. */
  readonly loaded: boolean;
  /** Calls back after each change, at most once per microtask; the function returned ends that. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Ends the following; loops over it end, the last snapshot stays. */
  close(): void;
}
