import type { WireEvent } from "../seam.js";

/** Versions of the messages between tabs, oldest and newest, that a build understands. */
export type Versions = readonly [oldest: number, newest: number];

/** Those of this build. */
export const VERSIONS: Versions = [1, 1];

/**
 * What tabs of every version say and understand: enough to find out who leads, whether it lives, and to make it give
 * way to a newer one. Their shape never changes.
 */
export type CoreMessage =
  /** Who leads? */
  | { hello: true }
  /** I do, and the store is open. */
  | { lead: true }
  /** Are you there? */
  | { ping: true }
  /** The tab that holds the lock is. */
  | { pong: true }
  /** There are submissions in the store. */
  | { waiting: true }
  /** We have no version in common and mine is the newer one: let me lead. */
  | { retire: true }
  /** Somebody has logged out: every tab ends. */
  | { end: true };

/** What tabs of version 1 say besides. */
export type Message =
  | CoreMessage
  /** I follow; tell me everything. */
  | { attach: true }
  /** A call to the engine, with the caller's own names for queries. */
  | { call: [method: string, ...args: unknown[]] }
  /** The view of this query has come; the next may. */
  | { seen: number }
  /** The answers to calls without arguments. */
  | { state: Record<string, string> }
  | { view: [query: number, text: string] }
  | { events: WireEvent[] };

/** A message on its way. All tabs hear all of them. */
export interface Envelope {
  from: string;
  versions: Versions;
  /** Who is meant; without it, everyone. */
  to?: string;
  message: Message;
}

/** The newest version that both understand; none if there is no such. */
export function common(ours: Versions, theirs: Versions): number | undefined {
  const version = Math.min(ours[1], theirs[1]);
  return version >= Math.max(ours[0], theirs[0]) ? version : undefined;
}

/** Whether an envelope is one, whoever sent it. */
export function isEnvelope(data: unknown): data is Envelope {
  const envelope = data as Partial<Envelope> | null;
  return (
    typeof envelope === "object" &&
    typeof envelope?.from === "string" &&
    Array.isArray(envelope.versions) &&
    typeof envelope.message === "object"
  );
}
