/** What the application decides with functions of its own, as the engine asks for it. */
import { plainFields, write } from "./intents.js";
import type { Migrations, OutdatedOperation } from "./schema.js";
import type { Rules, WireConflict, WireMigration, WireOutdated } from "./seam.js";
import { share } from "./snapshot.js";
import type { Collections, Conflict, Merge, Strategy } from "./types.js";

/** The strategy of a collection, however it was named. */
export function strategyOf(collection: Collections[string]): Strategy {
  return typeof collection === "string" ? collection : collection.strategy;
}

/** Answers the engine's questions; nothing if the application has no function to ask. */
export function rules(collections: Collections, migrations: Migrations = {}): Rules | undefined {
  const merges = new Map<string, Merge>();
  for (const [name, collection] of Object.entries(collections)) {
    if (typeof collection === "object") {
      merges.set(name, collection.merge);
    }
  }
  if (merges.size === 0 && Object.keys(migrations).length === 0) {
    return undefined;
  }
  return (text) => {
    const question = JSON.parse(text) as { resolve: WireConflict } | { migrate: WireOutdated };
    if ("migrate" in question) {
      return migrated(question.migrate, migrations);
    }
    const { resolve } = question;
    // What the function throws goes through to the engine, which keeps the conflict and the reason.
    const decision = merges.get(resolve.doc[0])?.(share(undefined, conflict(resolve)));
    return decision === undefined ? '{"defer":{}}' : resolution(decision);
  };
}

/** What an operation becomes by the next migration. What that throws goes through to the engine, like what is thrown here. */
function migrated({ doc: [collection, id], schema, intents }: WireOutdated, migrations: Migrations): string {
  const to = schema + 1;
  const migration = migrations[to];
  if (!migration) {
    throw new Error(`there is no migration to ${to}`);
  }
  const given: unknown = migration({ collection, id, schema, intents });
  if (given === null) {
    return write({ drop: {} } satisfies WireMigration);
  }
  const operation = plainFields(given) as Partial<OutdatedOperation>;
  if ((operation.collection ?? collection) !== collection || (operation.id ?? id) !== id) {
    throw new Error("an operation stays on its document");
  }
  return write({ intents: operation.intents });
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
