/// <reference lib="esnext.disposable" preserve="true" />
import type { Collection, JsonFields } from "./documents.js";
import type { ErrorCode, RealtimeError } from "./errors.js";
import type { Author, Operation, RejectedOperation, Waiting } from "./outcome.js";
import type { Migrations } from "./schema.js";
import type { Incident, Status } from "./status.js";
import type { Message, Room, RoomOptions, User } from "./rooms.js";
import type { RejectedEvent, Topic } from "./topics.js";
import type { AskOptions, QueryAnswer, TransactionOptions, TransactionOutcome } from "./transactions.js";
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
    /**
     * The trace that the page is in now, as a `traceparent` of W3C trace context: each request and frame that is sent names it, in
     * the tab that sends for all. What is no such text is left out. A server of another origin has to know the header.
     */
    traceparent?: () => string | undefined;
    /** Every collection the client reads or writes; none (`{}`) where it has to do with topics alone. */
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
    /** A topic of the server. Throws with code `invalid_value` if none can have that name. */
    topic<T = unknown>(name: string): Topic<T>;
    /** A room. Throws with code `invalid_value` if none can have that name. A client is in 32 at most. */
    room<S = unknown, M = unknown>(name: string, options?: RoomOptions): Room<S, M>;
    /** Somebody of the same tenant, by the subject of their token. */
    user(id: string): User;
    /** What people say to this person from now on, while there is a connection. */
    messages<M = unknown>(options?: Waiting): AsyncIterableIterator<Message<M>, undefined>;
    /**
     * Has a critical transaction of the server's application done: a payment, a booking. One request, whose outcome is waited
     * for; where an answer gets lost it is repeated with its key, so that it happens once. It is never stored or queued, and each
     * tab sends its own. A refusal by the application is an outcome.
     *
     * Rejects with a {@link TransactionError}, which has the key: `offline` at once if there is no connection, and nothing was
     * sent; `outcome_unknown` if no answer came in time: **it may have happened**, and the same call with that key and the same
     * body tells; with the server's code if it did not take it. Rejects with code `invalid_value` for a name, key or body that cannot be
     * sent, and with the signal's reason: what was sent before that may have happened.
     */
    transaction<T = unknown>(name: string, body: unknown, options?: TransactionOptions): Promise<TransactionOutcome<T>>;
    /**
     * Asks the server's application something of its transactions' records, such as a balance: one request, repeated where an
     * answer gets lost. It changes nothing and is kept nowhere; what it says was so at one moment. A refusal by the application is an
     * answer.
     *
     * Rejects with a {@link RealtimeError}: `offline` if there is no connection (at once), or no answer came in time; with the
     * server's code if it does not answer that; with code `invalid_value` for a name that can be none; and with the signal's reason.
     */
    ask<T = unknown>(name: string, parameters?: Readonly<Record<string, string | number | boolean>>, options?: AskOptions): Promise<QueryAnswer<T>>;
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
    /** The events that the server refused and nobody has discarded, oldest first. Each holds back those behind it. */
    rejectedEvents(): readonly RejectedEvent[];
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
export type * from "./documents.js";
export type * from "./outcome.js";
export type * from "./schema.js";
export type * from "./status.js";
export type * from "./rooms.js";
export type * from "./topics.js";
export type * from "./transactions.js";
