import type { ErrorCode } from "./errors.js";
import type { decided } from "./transactions.js";
import type { Operation, Submitting, Waiting } from "./types.js";

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
  /**
   * Publishes an event, with or without a network. Resolves once it is saved on this device; the operation's outcome is
   * `published`, with the event's position, once it is in the topic. However often it is sent, it is there once, and the
   * events of this installation arrive in the order in which they were published. A topic that is missing is made.
   *
   * One that the server refuses waits in `client.rejectedEvents()`, and those behind it in this topic wait until it is
   * published anew, retried, aborted or discarded.
   */
  publish(event: CloudEvent, options?: PublishOptions): Promise<Operation>;
  /**
   * Puts another event in the place of one that was published here and certainly never sent, or was refused; it keeps its
   * place before those behind it. Rejects with code `too_late` if it may have been sent.
   */
  republish(operation: Operation, event: CloudEvent): Promise<Operation>;
}

/**
 * An event as CloudEvents 1.0 has it, with extensions of text, booleans and whole numbers. What is missing of `id`, `source`
 * and `time` is added; `source` and `id` together tell an event from every other of its topic.
 */
export interface CloudEvent {
  /** What happened, such as `order.placed`. */
  readonly type: string;
  /** What it is about. Events of one subject keep their order also among the workers of a group. */
  readonly subject?: string | undefined;
  readonly data?: unknown;
  readonly [attribute: string]: unknown;
  /** The outcome of a transaction is none: what it caused is published by the server. */
  readonly [decided]?: never;
}

/** How an event is published. */
export interface PublishOptions extends Submitting {
  /**
   * It takes the place of an earlier event of this topic with the same key, if that was certainly not sent: of what is
   * published while there is no network, the latest of each key goes out. Both are then one operation.
   * What was published before the page was loaded goes out as it is, since nobody knows any more whether it was sent.
   */
  coalesce?: string;
}

/** An event that the server refused. */
export interface RejectedEvent {
  readonly seq: number;
  readonly topic: string;
  readonly event: Readonly<Record<string, unknown>>;
  readonly code: ErrorCode;
  readonly message: string;
  /** Since when, in milliseconds of Unix time. */
  readonly at: number;
  /** How often it is known to have been sent. */
  readonly attempts: number;
}

/** Where and how a topic is read. */
export interface SubscribeOptions extends Waiting {
  /**
   * Where to begin: with the earliest event there is, with what is yet to come (that is the default), with what was
   * appended at a time or later, or with what follows a position. Of a durable reader this counts the first time.
   */
  from?: "earliest" | "latest" | Date | { after: string };
  /**
   * A name under which this device keeps how far the application has come: the next time reading goes on there. An event
   * counts as dealt with once the one after it is asked for; that is stored soon after, so after a crash some may come
   * again. Loops of one name share the position, which is the one that is further. A client keeps at most 256.
   */
  durable?: string;
}

/** An event, or the news that some cannot be given. */
export type TopicEvent<T = unknown> =
  | { readonly position: string; readonly data: T; readonly gap?: undefined }
  /**
   * Events before this position are not kept any more, or the topic has another history than the one that was read
   * before: what the application has made of them is to be fetched in another way. Reading goes on with the earliest event.
   */
  | { readonly position: string; readonly gap: Gap; readonly data?: undefined };

/** What is missing. */
export interface Gap {
  /** How many events, if that is known. */
  readonly missed?: number;
}
