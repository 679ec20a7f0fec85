import { Plan } from "./plan.js";
import type { Program } from "./program.js";
import { REFUSED } from "./server.js";
import { OUTBOX, World } from "./world.js";

/** Milliseconds after everything has healed within which all tabs come to rest. */
const REST = 600_000;
/** Milliseconds between two looks at them; time enough to hear what has come while a page was frozen. */
const LOOK = 3_000;

/** What came of a seed. */
export interface Result {
  seed: number;
  violations: string[];
  /** Equal for equal histories. */
  hash: number;
  tally: Tally;
}

/** How much happened. */
export interface Tally {
  tabs: number;
  writes: number;
  durable: number;
  unknown: number;
  events: number;
  steps: number;
  rest: number;
}

/** Which world is being simulated: what nobody catches is its fault. */
let running: World | undefined;
process.on("unhandledRejection", (reason) =>
  running?.violation(`nobody caught ${(reason as Error)?.stack ?? String(reason)}`),
);

/** Simulates one seed. */
export async function simulate(
  program: Program,
  seed: number,
  tell?: (line: string) => void,
): Promise<Result> {
  const world = new World(program, seed, tell);
  running = world;
  const plan = new Plan(world);
  plan.begin();
  await world.run(plan.duration);
  world.faults.end();
  plan.end();
  const end = world.agenda.now + REST;
  let unrest: string | undefined;
  do {
    await world.run(world.agenda.now + LOOK);
    plan.tend();
    unrest = restless(world);
    if (unrest !== undefined && world.agenda.now >= end) {
      world.violation(`after ${REST / 1_000} s ${unrest}`);
    }
  } while (unrest !== undefined && world.violations.length === 0);
  if (world.violations.length === 0) {
    judge(world);
  }
  const writes = world.tabs.flatMap((tab) => tab.writes);
  const tally = {
    tabs: world.tabs.length,
    writes: writes.length,
    durable: writes.filter(({ state }) => state === "durable").length,
    unknown: writes.filter(({ outcome }) => typeof outcome === "object").length,
    events: world.tabs.reduce((sum, { reader }) => sum + reader.events, 0),
    steps: world.steps,
    rest: world.agenda.now - (end - REST),
  };
  running = undefined;
  return { seed, violations: world.violations, hash: world.hash >>> 0, tally };
}

function restless(world: World): string | undefined {
  for (const tab of world.living) {
    const unrest = tab.unrest();
    if (unrest !== undefined) {
      return unrest;
    }
  }
  const left = world.storage.content(OUTBOX, "submissions").filter(([, held]) => typeof held === "string");
  return left.length > 0 ? `${left.length} submissions wait in the store` : undefined;
}

/** What has to be true in the end. */
function judge(world: World): void {
  for (const tab of world.tabs) {
    for (const { field, document, state, operation } of tab.writes) {
      const writers = world.server.writers.get(field) ?? [];
      if (state === "durable" && operation?.durable && writers.length !== 1) {
        world.violation(`${field} was saved as ${operation.id} and has ${writers.length} effects`);
      }
      const lost = typeof state === "object" && /^(storage_full|not_durable)$/.test(state.refused);
      if (lost && !world.faults.lies && writers.length > 0 && document !== REFUSED) {
        world.violation(`${field} was refused as not saved, and has an effect all the same`);
      }
    }
  }
}
