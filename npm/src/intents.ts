import { RealtimeError } from "./errors.js";
import type { Edit } from "./types.js";

const RESERVED: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** The document shall hold exactly these fields. */
export function put(value: unknown): string {
  return write([{ put: plainFields(value) }]);
}

/** The fields of a patch shall change; those that are `undefined` shall go. */
export function update(patch: unknown): string {
  const set = plainFields(patch);
  const unset = Object.keys(set).filter((name) => set[name] === undefined);
  unset.forEach(refuseReserved);
  const kept = Object.keys(set).length - unset.length;
  if (kept + unset.length === 0) {
    throw invalid("a patch must name at least one field");
  }
  return write([...(kept ? [{ set }] : []), ...(unset.length ? [{ unset }] : [])]);
}

/** The document shall be gone. */
export function bury(): string {
  return '[{"delete":{}}]';
}

/** Numbers shall count up or down. */
export function increment(by: unknown): string {
  const named = some(plainFields(by), "an increment");
  for (const [name, amount] of Object.entries(named)) {
    if (!Number.isSafeInteger(amount)) {
      throw invalid(`${name} must count by a whole number, not by ${String(amount)}`);
    }
  }
  return write([{ increment: named }]);
}

/** Sets shall have these members. */
export function add(members: unknown): string {
  return write([{ add: sets(members) }]);
}

/** Sets shall not have these members. */
export function remove(members: unknown): string {
  return write([{ remove: sets(members) }]);
}

/** What an operation shall do instead. */
export function edited(change: Edit): string {
  const [kind, ...more] = Object.keys(plainFields(change));
  if (kind === undefined || !Object.hasOwn(WRITERS, kind) || more.length > 0) {
    throw invalid("a change is one of put, update, increment, add, remove and delete");
  }
  return WRITERS[kind as keyof typeof WRITERS]((change as Record<string, unknown>)[kind]);
}

const WRITERS = { put, update, increment, add, remove, delete: bury } satisfies Record<string, unknown>;

function sets(members: unknown): Record<string, unknown> {
  const named = some(plainFields(members), "a change of sets");
  for (const [name, list] of Object.entries(named)) {
    if (!Array.isArray(list)) {
      throw invalid(`the members of ${name} must be a list`);
    }
  }
  return named;
}

/** Refuses what names no field: it would be an edit of nothing. */
function some(named: Record<string, unknown>, what: string): Record<string, unknown> {
  if (Object.keys(named).length === 0) {
    throw invalid(`${what} must name at least one field`);
  }
  return named;
}

/** A document's fields, as far as they are plain data. */
export function plainFields(value: unknown): Record<string, unknown> {
  if (!isPlain(value) || Array.isArray(value)) {
    throw invalid("a document must be a plain object");
  }
  return value as Record<string, unknown>;
}

/** JSON text of plain data. */
export function write(value: unknown): string {
  try {
    return JSON.stringify(value, refuse);
  } catch (error) {
    // Cycles, values nested beyond the stack, getters that throw.
    throw error instanceof RealtimeError ? error : invalid("the value is not JSON", error);
  }
}

/** Refuses what JSON would leave out or change without a word, in the same pass that writes the text. */
function refuse(this: unknown, key: string, value: unknown): unknown {
  const original = (this as Record<string, unknown>)[key];
  refuseReserved(key);
  if (typeof original === "object" && original !== null ? original !== value || !isPlain(original) : false) {
    throw invalid(`the value of ${key} is an object of a class, not plain data`);
  }
  if (typeof value === "number" ? !Number.isFinite(value) : /^(bigint|function|symbol)$/.test(typeof value)) {
    throw invalid(`the value of ${key} is not JSON: ${String(value)}`);
  }
  if (value === undefined && Array.isArray(this)) {
    throw invalid("a list has a hole, or an undefined element");
  }
  return value;
}

/** Names that reach a prototype. */
function refuseReserved(key: string): void {
  if (RESERVED.has(key)) {
    throw invalid(`the key ${key} is reserved`);
  }
}

/** An array, or an object of no class; of another window's `Object` as well. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return Array.isArray(value) || prototype === null || Object.getPrototypeOf(prototype) === null;
}

function invalid(message: string, cause?: unknown): RealtimeError {
  return new RealtimeError(
    "invalid_value",
    `${message}; nothing was stored`,
    cause === undefined ? {} : { cause },
  );
}
