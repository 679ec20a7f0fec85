import type { ErrorCode, RealtimeError } from "./errors.js";
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
    /**
     * Whether this device shows all that the server had when the connection came about, and what came since. `false` while
     * there is no connection, as nobody can know then.
     */
    readonly caughtUp: boolean;
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
