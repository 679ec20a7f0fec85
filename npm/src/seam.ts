/**
 * What passes between this package and the engine: its class, and the JSON texts it takes and gives.
 * `tests/vectors` and the type tests hold these to what the Rust side writes.
 */
import type { Engine as WasmEngine } from "#engine";
import type { LinkState, Problem, Strategy } from "./types.js";

/** An open engine. */
export type Engine = Pick<WasmEngine, keyof WasmEngine>;

/** Opens an engine. */
export type OpenEngine = (
  options: string,
  token: () => Promise<string>,
  events: (json: string) => void,
) => Promise<Engine>;

/** Options of `Engine.open`. */
export interface EngineOptions {
  url: string;
  name: string;
  collections: [string, Strategy][];
}

/** One thing that an operation does, under its name. */
export type WireIntent =
  | { put: Record<string, unknown> }
  | { set: Record<string, unknown> }
  | { unset: string[] }
  | { delete: Record<never, never> };

/** What the server made of an operation, under its name. */
export type WireOutcome =
  | { accepted: object }
  | { merged: { lost: string[] } }
  | { superseded: object }
  | { rejected: { code: string; message: string } };

/** What a live query shows. */
export type WireQuery =
  | { one: [collection: string, id: string] }
  | { range: { collection: string; from?: string; to?: string; limit?: number } };

/** What an engine tells, in lists. Names that are not known here are of a newer engine and skipped. */
export type WireEvent =
  | "statusChanged"
  | { submitted: [ticket: number, seq: number] }
  | { refused: [ticket: number, refusal: { code: string; message: string; retryable?: boolean }] }
  | { settled: [seq: number, document: [collection: string, id: string], outcome: WireOutcome] }
  | { viewChanged: number }
  | { queryRefused: number }
  | { notRecovered: string };

/** The content of a live query. */
export interface WireView {
  loaded: boolean;
  documents: {
    id: string;
    fields: Record<string, unknown>;
    pending: boolean;
    updated?: number | null;
  }[];
}

/** The state of the client. */
export interface WireStatus {
  link: LinkState;
  network: boolean;
  pending: number;
  rejected: number;
  durable: boolean;
  problem?: (Problem & { retryAfter?: number }) | null;
}

/** An operation that the server refused. */
export interface WireRejected {
  seq: number;
  doc: [collection: string, id: string];
  intents: WireIntent[];
  reason: { code: string; message: string };
}
