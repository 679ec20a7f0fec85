/**
 * What passes between this package and the engine: its class, and the JSON texts it takes and gives. What Rust can
 * say about these types comes from there; the rest is held by `tests/vectors` and by the tests in a browser.
 */
import type { Encryption, Role } from "./types.js";
import type {
  Conflicted as WireConflicted,
  Outcome as WireOutcome,
  Rejected as WireRejected,
  Status as EngineStatus,
  Unpublished as WireUnpublished,
  Strategy,
  View as WireView,
  Engine as WasmEngine,
} from "../pkg/engine.js";
import type { StorageIncident } from "./incident.js";
import type { Person } from "./rooms.js";
import type { Intent } from "./schema.js";
import type { TopicEvent } from "./topics.js";
import type { Incident } from "./types.js";

/** An open engine. */
export type Engine = Pick<WasmEngine, Exclude<keyof WasmEngine, symbol>> & {
  /** Ends it in every tab that shares it. */
  endEverywhere?(): Promise<void>;
  /** Asks what has become of these operations; events answer for those that have ended. */
  recall?(...seqs: number[]): void;
};

/**
 * What the application decides, as JSON texts: takes `{"resolve": conflict}`, without a `seq`, and gives a
 * `WireResolution`; takes `{"migrate": operation}` and gives a `WireMigration`. What it throws, or gives beside that,
 * leaves the conflict to a person, and the operation among the rejected ones.
 */
export type Rules = (json: string) => string;

/** How a conflict is to end. */
export type WireResolution =
  | { mine: Record<never, never> }
  | { theirs: Record<never, never> }
  | { merged: Record<string, unknown> }
  | { defer: Record<never, never> };

/** What an operation does in the next version of the application's schema. */
export type WireMigration = { intents: readonly Intent[] } | { drop: Record<never, never> };

/** An operation as a migration gets it. */
export interface WireOutdated {
  doc: [collection: string, id: string];
  schema: number;
  intents: Intent[];
}

/** Gives a token whenever one is needed, and the trace of what is sent now, if there is one. */
export interface Sender {
  (): Promise<string>;
  traceparent?: () => string | undefined;
}

/** Opens an engine. */
export type OpenEngine = (
  options: string,
  token: Sender,
  events: (json: string) => void,
  encryption: Encryption | undefined,
  rules: Rules | undefined,
) => Promise<Engine>;

/** A conflict as the application's function gets it. */
export type WireConflict = Omit<WireConflicted, "seq" | "mineAt" | "problem">;

/** Options of `Engine.open`. */
export interface EngineOptions {
  url: string;
  name: string;
  collections: [string, Strategy][];
  schema: number;
}

/** What a live query is to show. */
export type WireQuery =
  | { one: [collection: string, id: string] }
  | { range: { collection: string; from?: string; to?: string; limit?: number } }
  | { topic: { topic: string; start: object; durable?: string } }
  | { room: { room?: string; listen?: boolean; interval?: number; state?: unknown } };

/** What is seen of a room, or heard. */
export interface WireRoom<S, M> {
  people: Person<S>[];
  loaded: boolean;
  messages: { number: number; from: string; data: M }[];
  dropped: number;
  over?: { code: string; message: string };
}

/** What a reader of a topic has. */
export interface WireTopic<T> {
  position?: string;
  items: TopicEvent<T>[];
  over?: { reason?: { code: string; message: string } };
}

/** Why something was not done. */
export interface Refusal {
  code: string;
  message: string;
  retryable: boolean;
}

/** What an engine tells, in lists. Names that are not known here are of a newer engine and skipped. */
export type WireEvent =
  | "statusChanged"
  | StorageIncident
  | "conflictsChanged"
  | "identityRenewed"
  /** Another client has taken the storage over; this engine does nothing any more. */
  | "fenced"
  /** This tab has an engine to speak with again, and may have missed something. */
  | "reattached"
  | { slowResolver: [document: [collection: string, id: string], milliseconds: number] }
  | { submitted: [ticket: number, seq: number] }
  | { refused: [ticket: number, refusal: Refusal] }
  | { sent: [ticket: number, sessions: number] }
  | { unsent: [ticket: number, refusal: Refusal] }
  /** Of an event there is no document. */
  | { settled: [seq: number, document: [collection: string, id: string] | null, outcome: WireOutcome] }
  /** An event that had ended as refused is an operation again. */
  | { reopened: number }
  /** An operation has ended, and no tab remembers how. It may have been rejected. */
  | { forgotten: number }
  | { viewChanged: number }
  | { queryRefused: number }
  | { notRecovered: string }
  | { storageDamaged: number }
  | { incident: { type: Incident["type"]; error: Refusal } };

/** The engine's status, to which the tab adds how it takes part. */
export type WireStatus = EngineStatus & { role?: Role };

export type { WireConflicted, WireOutcome, WireRejected, WireUnpublished, WireView };
