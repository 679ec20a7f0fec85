// Reconciliation side by side: `node run.mjs [--json] [part ...]`, parts being drain, cold, sync, merge.
//
// Rounds are interleaved, so that a busy moment of the machine meets all alike. Figures are medians. BENCH_ROUNDS sets
// the rounds of the quick parts; BENCH_SCALE makes every part smaller, to try things out.

import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { median } from "../enqueue/figures.mjs";
import * as cold from "./parts/cold.mjs";
import * as drain from "./parts/drain.mjs";
import * as merge from "./parts/merge.mjs";
import * as sync from "./parts/sync.mjs";
import { serve } from "./site.mjs";

const PARTS = { drain, cold, sync, merge };
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const scale = Number(process.env.BENCH_SCALE ?? 1);
const json = process.argv.includes("--json");
const named = process.argv.slice(2).filter((word) => word in PARTS);

const folder = await mkdtemp(join(tmpdir(), "bench-reconcile-"));
// Also where somebody interrupts it; the servers end likewise, and the browser with its driver.
process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const pages = Object.values(PARTS).flatMap(({ CONTENDERS }) => CONTENDERS.flatMap(({ page }) => page ?? []));
const site = await serve({
  folder: new URL(".", import.meta.url),
  contenders: new Set(pages),
  modules: process.env.MERGE_MODULE,
});
try {
  const results = {};
  for (const key of named.length > 0 ? named : Object.keys(PARTS)) {
    results[key] = await measure(key, PARTS[key]);
    report(PARTS[key], results[key]);
  }
  if (json) console.log(JSON.stringify({ bench: "reconcile", rounds, scale, parts: results }));
} finally {
  site.close();
}

async function measure(key, part) {
  const count = Math.round(part.COUNT * scale);
  const taken = new Map(part.CONTENDERS.map((contender) => [contender.key, []]));
  const most = Math.min(rounds, part.ROUNDS ?? rounds);
  for (let round = 0; round < most; round += 1) {
    // Nobody is always first, or always after the same neighbour's disk writes.
    const turn = round % part.CONTENDERS.length;
    for (const contender of [...part.CONTENDERS.slice(turn), ...part.CONTENDERS.slice(0, turn)]) {
      process.stderr.write(`${key}, round ${round + 1} of ${most}: ${contender.name}\n`);
      const figure = await part.measure(
        { folder, site },
        contender,
        Math.min(count, contender.most ?? count),
      );
      process.stderr.write(`    ${Math.round(figure.value)} ${part.UNIT}\n`);
      taken.get(contender.key).push(figure);
    }
  }
  const figures = Object.fromEntries([...taken].map(([contender, list]) => [contender, medians(list)]));
  return { count, unit: part.UNIT, figures, ratios: part.ratios(figures) };
}

function medians(list) {
  return Object.fromEntries(
    Object.keys(list[0]).map((key) => [key, median(list.map((figure) => figure[key]))]),
  );
}

function report(part, { count, unit, figures, ratios }) {
  console.log(`\n${part.title(count)}`);
  for (const { key, name } of part.CONTENDERS) {
    const { value, megabytes } = figures[key];
    const bytes = megabytes === undefined ? "" : `${megabytes.toFixed(1).padStart(9)} MB`;
    console.log(
      `  ${name.padEnd(40)} ${Math.round(value).toLocaleString("en").padStart(10)} ${unit}${bytes}`,
    );
  }
  for (const { name, value, aim } of ratios) {
    const wanted = aim === undefined ? "" : `  aim ${aim}${value < aim ? "  MISSED" : ""}`;
    console.log(`  ${name.padEnd(40)} ${value.toFixed(2).padStart(10)}${wanted}`);
  }
}
