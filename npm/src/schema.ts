/** One thing that an operation does to its document, in the words of the protocol. */
export type Intent =
  | { put: Record<string, unknown> }
  | { set: Record<string, unknown> }
  | { unset: string[] }
  | { increment: Record<string, number> }
  | { add: Record<string, unknown[]> }
  | { remove: Record<string, unknown[]> }
  | { delete: Record<never, never> };

/** An operation that waits, as an earlier version of the application has made it. */
export interface OutdatedOperation {
  readonly collection: string;
  /** The document. */
  readonly id: string;
  /** The version of the data format that its intents are written in. */
  readonly schema: number;
  /** What it does. May be changed in place. */
  intents: Intent[];
}

/**
 * Says what an operation does in the next version of the application's data format. Pure and synchronous: equal
 * operations get equal answers.
 *
 * It gives the operation with its intents changed as need be, for the same document, or `null` if that has no meaning
 * any more. One that is dropped so, with code `migration_dropped`, or for which the function throws or gives something
 * else, with code `migration_failed`, is kept among `client.rejected()` as it was.
 */
export type Migration = (operation: OutdatedOperation) => { readonly intents: readonly Intent[] } | null;

/** Migrations by the version that they lead to, each from the one before it. */
export type Migrations = Readonly<Record<number, Migration>>;
