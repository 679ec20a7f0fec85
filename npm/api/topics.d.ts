import type { Waiting } from "./types.js";
/** A topic of the server: events of which each has its position, and which stay when they were read. */
export interface Topic<T = unknown> {
    readonly name: string;
    /**
     * Reads the topic for as long as the loop runs: what is there, then what is appended. It waits while there is no network
     * and goes on where it stopped; who is slow is not flooded, and misses nothing. Ends after the last event of a topic
     * that is closed. A client reads at most 64 topics at one time.
     *
     * Rejects with a `RealtimeError`: `no_such_topic` if there is none, or none for this person; `content_type_mismatch` if its
     * events are no JSON; `too_many`.
     */
    subscribe(options?: SubscribeOptions): AsyncIterableIterator<TopicEvent<T>, undefined>;
}
/** Where and how a topic is read. */
export interface SubscribeOptions extends Waiting {
    /**
     * Where to begin: with the earliest event there is, with what is yet to come (that is the default), with what was
     * appended at a time or later, or with what follows a position. Of a durable reader this counts the first time.
     */
    from?: "earliest" | "latest" | Date | {
        after: string;
    };
    /**
     * A name under which this device keeps how far the application has come: the next time reading goes on there. An event
     * counts as dealt with once the one after it is asked for; that is stored soon after, so after a crash some may come
     * again. Loops of one name share the position, which is the one that is further. A client keeps at most 256.
     */
    durable?: string;
}
/** An event, or the news that some cannot be given. */
export type TopicEvent<T = unknown> = {
    readonly position: string;
    readonly data: T;
    readonly gap?: undefined;
}
/**
 * Events before this position are not kept any more, or the topic has another history than the one that was read
 * before: what the application has made of them is to be fetched in another way. Reading goes on with the earliest event.
 */
 | {
    readonly position: string;
    readonly gap: Gap;
    readonly data?: undefined;
};
/** What is missing. */
export interface Gap {
    /** How many events, if that is known. */
    readonly missed?: number;
}
