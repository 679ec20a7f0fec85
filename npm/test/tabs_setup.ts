import assert from "node:assert/strict";
import { after } from "node:test";

import { openClient } from "../src/client.js";
import type { Versions } from "../src/tabs/protocol.js";
import { shared } from "../src/tabs/tab.js";
import type { Client, Incident } from "../src/types.js";
import type { Origin } from "./browser_parts.js";
import { ScriptedEngine } from "./scripted_engine.js";
import type { Card } from "./setup.js";

const open: Client[] = [];
after(() => Promise.all(open.map((client) => client.close())));

/** A tab with a client and, for when it leads, an engine. */
export async function tab(origin: Origin, versions?: Versions) {
  const engine = new ScriptedEngine();
  const host = origin.tab();
  const incidents: Incident[] = [];
  const client = await openClient(shared(engine.open, host, versions), {
    url: "http://127.0.0.1:8787",
    token: "t0",
    collections: { cards: "fieldLevel" },
    onIncident: (incident) => incidents.push(incident),
  });
  open.push(client as unknown as Client);
  return { client, engine, host, incidents, cards: client.collection<Card>("cards") };
}

export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | false>,
): Promise<T> {
  const end = Date.now() + 12_000;
  for (;;) {
    const seen = await look();
    if (seen) {
      return seen;
    }
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What the engine of a real leader does with a submission from the store: a receipt takes its place. */
export async function adopt(origin: Origin, engine: ScriptedEngine, seq: number) {
  const [ticket, key] = await until("the leader adopts", () => engine.called("adopt").at(-1));
  origin.stored.set(key as string, seq);
  engine.emit({ submitted: [ticket, seq] });
}
