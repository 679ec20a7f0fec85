/**
 * Freezes parsed JSON, taking over from `before` every part that is equal to what it was, so that an unchanged
 * part of successive snapshots is the same object and a page need not draw it again.
 */
export function share<T>(before: unknown, after: T): T {
  if (typeof after !== "object" || after === null || Object.isFrozen(after)) {
    return after;
  }
  const parts = after as Record<string, unknown>;
  if (typeof before !== "object" || before === null) {
    // Nothing to take over, as in a first snapshot, of which a page waits to show the first documents.
    for (const name in parts) {
      const part = parts[name];
      if (typeof part === "object") {
        share(undefined, part);
      }
    }
    return Object.freeze(after);
  }
  const old = (Array.isArray(before) === Array.isArray(after) ? before : {}) as Record<string, unknown>;
  const names = Object.keys(parts);
  let same = old === before && Object.keys(old).length === names.length;
  for (const name of names) {
    const was = Object.hasOwn(old, name) ? old[name] : undefined;
    const part = share(was, parts[name]);
    same &&= part === was && Object.hasOwn(old, name);
    if (part !== parts[name]) {
      // Defined, not assigned: a key `__proto__` that came from elsewhere stays an ordinary key.
      Object.defineProperty(parts, name, { value: part, enumerable: true });
    }
  }
  return same ? (old as T) : Object.freeze(after);
}
