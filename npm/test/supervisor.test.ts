import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyEngine } from "../src/calls.js";
import type { Instance } from "../src/instance.js";
import type { WireEvent } from "../src/seam.js";
import { supervised } from "../src/supervisor.js";
import { ScriptedEngine } from "./scripted_engine.js";
import { until } from "./tabs_setup.js";

/** An engine under supervision, the instances it ran in, and what was told. */
async function supervision() {
  const engines: ScriptedEngine[] = [];
  const deaths: ((trap: unknown) => void)[] = [];
  const told: WireEvent[] = [];
  let opening = Promise.resolve();
  const launch = (): Instance => {
    const engine = new ScriptedEngine();
    engine.opening = opening;
    engines.push(engine);
    let dead = false;
    const death = new Promise<unknown>((resolve) => deaths.push((trap) => ((dead = true), resolve(trap))));
    return {
      open: engine.open,
      death,
      get dead() {
        return dead;
      },
    };
  };
  const tell = (json: string) => void told.push(...(JSON.parse(json) as WireEvent[]));
  const engine = await supervised(launch)(
    "{}",
    () => Promise.reject(new Error("no token")),
    tell,
    undefined,
    undefined,
  );
  return {
    engine: engine as unknown as AnyEngine,
    engines,
    told,
    /** The newest instance dies, and the next takes as long to open. */
    die(next: Promise<void>) {
      opening = next;
      deaths.at(-1)?.(new Error("a trap"));
    },
    refused: () =>
      told.flatMap((event) => (typeof event === "object" && "refused" in event ? [event.refused] : [])),
  };
}

test("an engine that is given up while it is being restarted does nothing more, and what waits for it is handed over", async () => {
  const { engine, engines, refused, die } = await supervision();
  let open!: () => void;
  die(new Promise((resolve) => (open = resolve)));
  await until("it is opened anew", () => engines.length === 2);
  engine["submit"]?.(7, "cards", "a", 0, "[]");
  engine["lastLife"]?.();
  assert.deepEqual(
    refused().map(([ticket, { code }]) => [ticket, code]),
    [[7, "fenced"]],
  );
  open();
  await until("it is stopped", () => engines[1]?.called("stop").length === 1);
  assert.equal(engines[1]?.called("submit").length, 0);
});

test("an engine that dies after it was given up is not opened again", async () => {
  const { engine, engines, refused, die } = await supervision();
  engine["submit"]?.(7, "cards", "a", 0, "[]");
  engine["lastLife"]?.();
  die(Promise.resolve());
  await until("what it was asked for is answered", () => refused().length === 1);
  assert.deepEqual(refused()[0]?.[1].code, "engine_restarted");
  assert.equal(engines.length, 1);
});
