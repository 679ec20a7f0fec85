import type { ErrorCode } from "./errors.js";
import type { Topic } from "./topics.js";
import type { Waiting } from "./types.js";
/**
 * A room: who is there now, and what they say to each other. Nothing of it is stored or queued; while there is no
 * connection nobody is seen, and nothing else is the worse for it.
 */
export interface Room<S = unknown, M = unknown> {
    readonly name: string;
    /** Who is there. */
    readonly presence: Presence<S>;
    /**
     * Says something to everybody else who is in the room; one has to be in it, by `presence`. Resolves to the number of sessions
     * that have got it. At most 16384 bytes of JSON.
     *
     * Rejects with a `RealtimeError`: `not_connected` without a connection, or if it was lost before an answer; `not_in_room`;
     * `forbidden`; `too_large`. It is not sent again by itself.
     */
    send(message: M): Promise<number>;
    /** What the others say from now on. Of more than 256 messages that nobody takes the oldest are dropped. */
    messages(options?: Waiting): AsyncIterableIterator<Message<M>, undefined>;
    /** Leaves the room. */
    close(): void;
}
/**
 * Who is in a room. One sees it from the first time that one asks, until the room is closed: who asks is in the room, and is
 * seen there once it has entered.
 */
export interface Presence<S = unknown> extends AsyncIterable<readonly Person<S>[]> {
    /** Whether it is known who is there. */
    readonly loaded: boolean;
    /** Why one is not in the room. */
    readonly problem: {
        readonly code: ErrorCode;
        readonly message: string;
    } | undefined;
    /** Everybody who is seen, by name. Cached and frozen: the same array until something changes. */
    readonly getSnapshot: () => readonly Person<S>[];
    /** Calls back when that, or `loaded`, changes. */
    readonly subscribe: (listener: () => void) => () => void;
    /**
     * Is seen in this state, from now on and again after each loss of the connection. Call it as often as you like: the newest counts, and
     * is sent at the interval that the room was opened with. At most 4096 bytes of JSON.
     */
    enter(state: S): void;
    /** Changes parts of that state. */
    update(part: Partial<S>): void;
    /** Is not seen any more, and goes on to see. */
    leave(): void;
}
/** Somebody in a room, at one device or several. */
export interface Person<S = unknown> {
    /** The subject of their token. */
    readonly user: string;
    /** Whether this installation is one of the devices. */
    readonly me: boolean;
    /** The state of the device that was changed last. */
    readonly state: S;
    /** Each device, the one that was changed last first. */
    readonly devices: readonly {
        readonly id: number;
        readonly state: S;
    }[];
}
/** What somebody has said. */
export interface Message<M = unknown> {
    /** The subject of their token. */
    readonly from: string;
    readonly data: M;
    /** So many messages before this one were not taken in time and are gone. */
    readonly dropped: number;
}
/** How one is in a room. */
export interface RoomOptions {
    /** Milliseconds between two states that are sent: 16 to 10000, and 50 if nothing is said. */
    interval?: number;
}
/** Somebody of the same tenant. */
export interface User {
    /** The subject of their token. */
    readonly id: string;
    /**
     * Says something to them at all of their devices that are connected now. Resolves to the number of sessions that have got it;
     * 0 if there is none. Rejects as `Room.send`.
     */
    send(message: unknown): Promise<number>;
    /** The topic in which what is published for them stays, for all of their devices. They alone read it. */
    inbox<T = unknown>(): Topic<T>;
}
