import { openClient } from "../src/client.js";
import type { Client } from "../src/types.js";
import { ScriptedEngine } from "./scripted_engine.js";

/** A document type, as an application would write one. */
export interface Card {
  title: string;
  done?: boolean;
  tags?: string[];
}

/** A client on a scripted engine, with the collections `cards` and `notes`. */
export async function start(
  signal?: AbortSignal,
): Promise<{ client: Client<{ cards: "fieldLevel"; notes: "lastWriteWins" }>; engine: ScriptedEngine }> {
  const engine = new ScriptedEngine();
  const client = await openClient(engine.open, {
    url: "http://127.0.0.1:8787",
    token: "t0",
    collections: { cards: "fieldLevel", notes: "lastWriteWins" },
    ...(signal && { signal }),
  });
  return { client, engine };
}

/** Lets every microtask run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A card as the engine shows it. */
export function shown(id: string, fields: Record<string, unknown>, pending = false, updated?: number) {
  return { id, fields, pending, conflicted: false, ...(updated !== undefined && { updated }) };
}
