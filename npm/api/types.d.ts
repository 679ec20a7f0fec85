/// <reference lib="esnext.disposable" preserve="true" />
import type { ErrorCode, RealtimeError } from "./errors.js";
import type { Intent, Migrations } from "./schema.js";
/** How concurrent edits of a document are resolved. The first client to name a collection settles it. */
export type Strategy = 
/** Field by field: edits of different fields both stay; of one field, the later stays. */
"fieldLevel"
/** The document as a whole: the later edit stays. There `update` puts the document as it is seen now, with the patch laid over it. */
 | "lastWriteWins"
/**
 * Field by field, and where two edits of one field collide, a function of the application merges them; without one
 * here, the server's does, or else a person decides.
 */
 | "merge"
/** Field by field, and where two edits of one field collide, a person decides. */
 | "manual";
/** The collections of a client, by name: 1 to 64 characters of `a-z`, `0-9`, `-`, `_` and `.`. */
export type Collections = Readonly<Record<string, Strategy | {
    strategy: "merge";
    merge: Merge;
}>>;
/**
 * Merges two edits that collide. Pure and synchronous: equal conflicts get equal answers, on every device and whenever
 * it is asked again.
 *
 * It gives the fields that the document shall have (of the fields in conflict, one that is not named shall be gone), or
 * whose edit stays, or `undefined` where a person has to decide. If it throws, or gives something else, the conflict is
 * kept for a person, with the reason.
 */
export type Merge = (conflict: Conflict) => object | "mine" | "theirs" | undefined;
/** Two edits of a document that collide. Frozen. */
export interface Conflict {
    readonly collection: string;
    /** The document. */
    readonly id: string;
    /** The fields that both wrote, with different values. */
    readonly fields: readonly string[];
    /** What the maker of the edit here saw of the fields it writes. */
    readonly base?: Readonly<Record<string, unknown>>;
    /** The document as the edit here would have it; missing if that deletes it. */
    readonly mine?: Readonly<Record<string, unknown>>;
    /** The document as it is; missing if it was deleted. */
    readonly theirs?: Readonly<Record<string, unknown>>;
    /** Who made it so, and when, where the server tells. */
    readonly by?: Author;
}
/** A conflict that waits for a person. */
export interface OpenConflict extends Conflict {
    /** The operation. */
    readonly seq: number;
    /** When that was made, in milliseconds of Unix time. */
    readonly madeAt: number;
    /** Why the application's function did not decide, in words. */
    readonly problem?: string;
}
/** Where to get the WebAssembly module from, other than from beside the package's own JavaScript. */
export type WasmSource = URL | string | Response | PromiseLike<Response> | BufferSource | WebAssembly.Module;
/** A bearer token, or a function asked for one whenever a new one is needed. The signal is that of the client. */
export type TokenSource = string | ((options: {
    signal: AbortSignal;
}) => string | PromiseLike<string>);
/** What `createClient` takes. */
export interface ClientOptions<C extends Collections = Collections> {
    /** Address of the server, `http:` or `https:`. */
    url: string | URL;
    /** Who this is, to the server. */
    token: TokenSource;
    /** Every collection the client reads or writes. */
    collections: C;
    /** Names the storage on this device; clients of different names share nothing. Default: `"default"`. */
    name?: string;
    /** Version of the application's own data format, stored with each operation. Default: 0. */
    schema?: number;
    /**
     * Brings operations that an earlier version has left on this device up to `schema`, step by step, before they are
     * shown or sent. Keep those from every version that may still have left some. Operations of a newer version are sent
     * as they are; documents stay as they are.
     */
    migrations?: Migrations;
    /** Encrypts what is kept on this device. What is there already and is not encrypted is encrypted at the start. */
    encryption?: Encryption;
    /** The WebAssembly module, where its usual address will not do. The first client of a page decides. */
    wasm?: WasmSource;
    /**
     * Whether to ask the browser to keep the storage even when it runs out of room, which some ask their user in turn.
     * Default: true.
     */
    persist?: boolean;
    /** Told once of each incident, after the client has done what it can about it. */
    onIncident?: (incident: Incident) => void;
    /** Ends the start of the client. It has no effect on a client that has started. */
    signal?: AbortSignal;
}
/** Something that befell the client and that an application may want to report, or to tell its user. */
export interface Incident {
    readonly type: IncidentType;
    /** What there is to know, with a code to decide by. */
    readonly error: RealtimeError;
}
/** What befell the client. */
export type IncidentType = 
/**
 * The engine failed and was started again from what is stored; handles and live queries go on. A submission
 * that was being saved at that moment rejects with the same code, `engine_restarted`.
 */
"engineRestarted"
/** The engine failed again and again. The client has ended: whatever waits rejects, what is saved stays saved. */
 | "engineFailed"
/** Somebody logged out in another tab. The client has ended: whatever waits rejects; code `logged_out`. */
 | "loggedOut"
/**
 * What was saved here was deleted while the client was open, by the user, the browser or another page. Everything
 * that had not reached the server was saved again; code `storage_lost`.
 */
 | "storageLost"
/**
 * At the start, what an earlier client had saved was gone. This one begins anew, under an id of its own; what the
 * earlier one had not sent is lost; code `storage_wiped`.
 */
 | "storageWiped"
/**
 * At the start, edits were found that cannot be read, or of which nobody knows any more whose they are. They stay on
 * the device and are not sent, all others are; `Status.damaged` tells how many records; code `storage_damaged`.
 */
 | "storageDamaged"
/** The storage waits to be brought up to date, for another page keeps an older version of it open. */
 | "upgradeBlocked"
/** A merge function took long enough to be felt: it holds up everything else of the page. */
 | "slowMerge";
/** What becomes of operations that have not reached the server, or wait for a decision, at a logout. */
export type LogoutPolicy = 
/** Nobody is logged out before there are none. */
"block"
/** They stay on this device, encrypted, and are sent when the same person comes back with the same key. */
 | "park"
/** They are deleted with everything else. */
 | "shred";
/** How somebody logs out. */
export interface LogoutOptions {
    policy: LogoutPolicy;
    /** For `park`: what to encrypt with, if the client was not created with an encryption already. */
    encryption?: Encryption;
    /** For `block`: how long to wait for the server. Default: 10 seconds. */
    signal?: AbortSignal;
}
/** What became of operations that had not reached the server, or waited for a decision. */
export interface LogoutResult {
    /** So many stay here, encrypted. */
    readonly parked: number;
    /** So many are gone. */
    readonly lost: number;
}
/** A text and the name that it is bound to. */
export type NamedText = readonly [name: string, text: string];
/**
 * Encrypts the texts that a client keeps on this device: operations, documents, who it is. Ids of documents, names of
 * collections and positions stay readable. `aesGcm` of `@webwaka/realtime/encryption` is one.
 */
export interface Encryption {
    /** Encrypts texts, in their order. When it rejects, what was to be stored is refused; nothing is stored in the clear. */
    seal(records: readonly NamedText[]): Promise<string[]>;
    /** Decrypts texts, in their order; rejects where one was sealed otherwise, under another name, or is damaged. */
    open(records: readonly NamedText[]): Promise<string[]>;
}
/** Options of whatever can be waited for. */
export interface Waiting {
    /** Ends the waiting; the promise then rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
}
/** The state of the connection: WebSocket, plain HTTP, or nothing. */
export type LinkState = "up" | "degraded" | "down";
/**
 * How a tab takes part in the client that all tabs of an origin share: one *leads* and has the connection and the
 * storage, the others *follow*. A tab is *alone* where the browser lacks the means (Web Locks, BroadcastChannel), or
 * gives no durable storage to share.
 */
export type Role = "leader" | "follower" | "alone";
/** What a page shows its user about the state of things. Immutable; a change makes a new one. */
export interface Status {
    readonly link: LinkState;
    /** Whether the application allows the network. */
    readonly network: boolean;
    /** Operations saved here that the server has not settled yet. */
    readonly pending: number;
    /** Operations the server refused, waiting to be looked at and discarded. */
    readonly rejected: number;
    /** Of the pending ones, those that wait for somebody to decide a conflict. */
    readonly conflicts: number;
    /** Records of edits that were found damaged at the start; they stay on the device and are not sent. */
    readonly damaged: number;
    /** Whether what is saved here survives the end of the page. */
    readonly durable: boolean;
    /** A large collection that is being fetched: documents that are here, and in all (0 until that is known). */
    readonly syncing?: {
        readonly collection: string;
        readonly done: number;
        readonly total: number;
    } | undefined;
    /** What the browser says of the storage that it gives to this origin, once it has said it. */
    readonly storage?: StorageStatus | undefined;
    /** Whether this tab leads. It may change at any time, and nothing else with it. */
    readonly role: Role;
    /** Why the connection does not come about, if there is a reason beyond the network. */
    readonly problem?: Problem | undefined;
}
/** Storage on this device. */
export interface StorageStatus {
    /** Whether the browser keeps it even when it runs out of room. */
    readonly persisted: boolean;
    /** Bytes in use, roughly. */
    readonly usage?: number | undefined;
    /** Bytes that may be used, roughly. */
    readonly quota?: number | undefined;
}
/**
 * What stands against this client at present. `update_needed`: another tab runs a newer version of this package that
 * this one does not understand. What is edited here is kept on this device and sent from there; reload the page.
 */
export interface Problem {
    readonly code: ErrorCode;
    /** For people. */
    readonly message: string;
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
{
    readonly type: "accepted";
}
/** Applied but for these fields, where a concurrent write was later. */
 | {
    readonly type: "merged";
    readonly lost: readonly string[];
}
/** Not applied: concurrent writes were later, or deleted the document. */
 | {
    readonly type: "superseded";
}
/**
 * Not applied yet: someone else's write of these fields collides with it, and somebody has to decide. Only in
 * `merge` and `manual` collections. Without fields it waits behind an earlier operation of its document.
 */
 | {
    readonly type: "conflicted";
    readonly fields: readonly string[];
    readonly theirs?: Author;
}
/** Not applied and never will be. It stays in `client.rejected()` until discarded. */
 | {
    readonly type: "rejected";
    readonly code: ErrorCode;
    readonly message: string;
};
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
export type Edit = {
    readonly put: object;
} | {
    readonly update: object;
} | {
    readonly increment: Readonly<Record<string, number>>;
} | {
    readonly add: Readonly<Record<string, readonly unknown[]>>;
} | {
    readonly remove: Readonly<Record<string, readonly unknown[]>>;
} | {
    readonly delete: true;
};
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
export type Json<T> = T extends string | number | boolean | null | undefined ? T : T extends bigint | symbol | ((...args: never[]) => unknown) ? never : T extends object ? JsonFields<T> : never;
/** The fields of a document type, each JSON. */
export type JsonFields<T> = {
    [K in keyof T]: Json<T[K]>;
};
/** Fields to change; `undefined` takes a field away. */
export type Patch<T> = {
    readonly [K in keyof T]?: T[K] | undefined;
};
/** Those fields of a document type that hold a value of some type; a type without any takes no field at all. */
type FieldsOf<T, V> = {
    [K in keyof T as NonNullable<T[K]> extends V ? K : never]?: NonNullable<T[K]>;
};
type Only<F> = [keyof F] extends [never] ? Readonly<Record<string, never>> : Readonly<F>;
/** By how much to count the fields of a document that hold numbers. Whole numbers, also below 0. */
export type Increments<T> = Only<{
    [K in keyof FieldsOf<T, number>]?: number;
}>;
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
/** One installation of the application, with its storage on this device and its link to the server. */
export interface Client<C extends Collections = Collections> extends AsyncDisposable {
    /** The state of things, for a page to show. Cached and frozen: the same object until something changes. */
    readonly status: Status;
    /** Calls back when the status, the conflicts or the rejected operations change. */
    readonly subscribe: (listener: () => void) => () => void;
    /** The newest status, first at once and then after each change. */
    statuses(options?: Waiting): AsyncIterable<Status>;
    /** The documents of one of the collections the client was created with. */
    collection<T extends JsonFields<T>>(name: keyof C & string): Collection<T>;
    /** Allows the network, or forbids it: the client then works as if offline. */
    setNetwork(allowed: boolean): void;
    /** Hints that the network may be back. The client also listens to the browser for that. */
    wake(): void;
    /**
     * The conflicts that wait for a person, oldest first. They stay until they are resolved, whatever happens to the page;
     * meanwhile only their own documents wait. Cached and frozen: the same array until something changes.
     */
    conflicts(): readonly OpenConflict[];
    /**
     * Ends a conflict: `"mine"` applies the edit over what is there, `"theirs"` takes it back, and fields are what the
     * document shall have (of the fields in conflict, one that is not named shall be gone). Resolves once the decision is
     * durable here. If others have written again by the time the server has it, there is another conflict.
     *
     * Rejects with code `not_conflicted` if it is over, and `not_ready` while the other side has not arrived here.
     */
    resolve(seq: number, decision: "mine" | "theirs" | object): Promise<Operation>;
    /** The operations that the server refused. */
    rejected(): readonly RejectedOperation[];
    /**
     * The handle of an operation that waits or was rejected, also of one that was saved before this page was loaded. Throws
     * with code `invalid_value` if there is none of this number.
     */
    operation(seq: number): Operation;
    /** Drops a rejected operation for good, once its loss has been dealt with. */
    discard(seq: number): void;
    /**
     * Ends the client in every tab and removes what this person has on this device: with `block` once nothing is open,
     * with `shred` at once, with `park` all but the operations, which stay encrypted. Give the clients of two people,
     * or of two tenants, different names: what one has parked is then not in the other's way.
     *
     * Rejects with code `unsynced` if `block` waited in vain, and `invalid_options` if there is no key to park with:
     * the client then goes on. With another code it has ended, and something may be left: log out again.
     */
    logout(options: LogoutOptions): Promise<LogoutResult>;
    /**
     * Ends the client: the link is closed and the storage free for the next one. What is saved stays saved.
     * Whatever still waits on it rejects with code `closed`; loops end.
     */
    close(): Promise<void>;
}
export type { ErrorCode, RealtimeError };
export type * from "./schema.js";
