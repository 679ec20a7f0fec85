/** What the application decides with functions of its own, as the engine asks for it. */
import { plainFields, write } from "./intents.js";
import type { Rules, WireConflict } from "./seam.js";
import { share } from "./snapshot.js";
import type { Collections, Conflict, Merge, Strategy } from "./types.js";

/** The strategy of a collection, however it was named. */
export function strategyOf(collection: Collections[string]): Strategy {
  return typeof collection === "string" ? collection : collection.strategy;
}

/** Answers the engine's questions; nothing if the application has no function to ask. */
export function rules(collections: Collections): Rules | undefined {
  const merges = new Map<string, Merge>();
  for (const [name, collection] of Object.entries(collections)) {
    if (typeof collection === "object") {
      merges.set(name, collection.merge);
    }
  }
  if (merges.size === 0) {
    return undefined;
  }
  return (question) => {
    const { resolve } = JSON.parse(question) as { resolve: WireConflict };
    // What the function throws goes through to the engine, which keeps the conflict and the reason.
    const decision = merges.get(resolve.doc[0])?.(share(undefined, conflict(resolve)));
    return decision === undefined ? '{"defer":{}}' : resolution(decision);
  };
}

/** A decision in the words of the engine. */
export function resolution(decision: unknown): string {
  if (decision === "mine" || decision === "theirs") {
    return write({ [decision]: {} });
  }
  return write({ merged: plainFields(decision) });
}

/** A conflict in its public shape. */
export function conflict({ doc: [collection, id], fields, base, mine, theirs, by }: WireConflict): Conflict {
  return {
    collection,
    id,
    fields,
    ...(base && { base }),
    ...(mine && { mine }),
    ...(theirs && { theirs }),
    ...(by && { by }),
  };
}
