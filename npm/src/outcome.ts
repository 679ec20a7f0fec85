import type { ErrorCode } from "./errors.js";
import type { Intent } from "./schema.js";

/** Options of whatever can be waited for. */
export interface Waiting {
  /** Ends the waiting; the promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Who wrote something, and when. */
export interface Author {
  /** The person or program. */
  readonly subject: string;
  /** Milliseconds of Unix time. */
  readonly at: number;
}

/** What became of an operation. All but `conflicted` is final. */
export type Outcome =
  /** Applied whole. */
  | { readonly type: "accepted" }
  /** Applied but for these fields, where a concurrent write was later. */
  | { readonly type: "merged"; readonly lost: readonly string[] }
  /** Not applied: concurrent writes were later, or deleted the document. */
  | { readonly type: "superseded" }
  /**
   * Not applied yet: someone else's write of these fields collides with it, and somebody has to decide. Only in
   * `merge` and `manual` collections. Without fields it waits behind an earlier operation of its document.
   */
  | { readonly type: "conflicted"; readonly fields: readonly string[]; readonly theirs?: Author }
  /** An event that is in its topic, once, at this position. */
  | { readonly type: "published"; readonly position: string }
  /** Not applied and never will be. It stays in `client.rejected()` until discarded. */
  | { readonly type: "rejected"; readonly code: ErrorCode; readonly message: string };

/** An operation that is saved on this device. */
export interface Operation {
  /** Its name anywhere and for ever: the client's id and `seq`. */
  readonly id: string;
  /** Its place among the operations of this installation, from 1. */
  readonly seq: number;
  /** Whether it survives the end of the page; `false` only where the browser gives no storage. */
  readonly durable: boolean;
  /**
   * Resolves once the server has settled it, which may take as long as the device is offline.
   *
   * Ending the wait (by the signal, or because the client is closed: code `closed`) does not touch the
   * operation: it stays saved, and is sent by the next client of that name.
   *
   * Rejects with code `outcome_unknown` if it was settled while this page was put aside by the browser, so long ago or so
   * alone that no other tab remembers how.
   */
  outcome(options?: Waiting): Promise<Outcome>;
  /**
   * Replaces what it does; resolves once that is durable, with the operation that does it now. One that was rejected
   * becomes a new operation, at the end of its document's line. Rejects with code `too_late` if it may have been sent.
   */
  edit(change: Edit): Promise<Operation>;
  /** Tries it again after it was rejected, as a new operation. Rejects with code `not_rejected` if it was not. */
  retry(): Promise<Operation>;
  /**
   * Withdraws it before it is sent: its outcome is then `rejected` with code `aborted`, and so, with
   * `dependency_failed`, is that of whatever was to come `after` it. One that was rejected is forgotten. Rejects with
   * code `too_late` if it may have been sent.
   */
  abort(): Promise<void>;
}

/** What an operation shall do, as the methods of a collection would. */
export type Edit =
  | { readonly put: object }
  | { readonly update: object }
  | { readonly increment: Readonly<Record<string, number>> }
  | { readonly add: Readonly<Record<string, readonly unknown[]>> }
  | { readonly remove: Readonly<Record<string, readonly unknown[]>> }
  | { readonly delete: true };

/** Options of whatever changes a document. */
export interface Submitting extends Waiting {
  /**
   * At most 16 operations of this client, of any documents, that have to be applied first: it is sent after them, and
   * rejected with code `dependency_failed` if one of them is.
   */
  after?: Operation | readonly Operation[] | undefined;
}

/** An operation that will not be applied: the server refused it, or it could not be migrated. */
export interface RejectedOperation {
  readonly seq: number;
  readonly collection: string;
  /** The document. */
  readonly id: string;
  readonly code: ErrorCode;
  readonly message: string;
  /** What it would have done. */
  readonly intents: readonly Intent[];
  /** The version of the application's data format that this is written in. */
  readonly schema: number;
  /** Since when, in milliseconds of Unix time. */
  readonly at: number;
  /** How often it is known to have been sent. */
  readonly attempts: number;
}
