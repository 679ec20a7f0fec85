/**
 * Simulates the tabs of a browser: `--seed N [--verbose]`, or `--seeds COUNT|A..B` on all cores of the machine.
 *
 * What runs in each page is the package as it ships, with its WebAssembly engine, evaluated once a page with globals of its
 * own. The test has what is around it: Web Locks, BroadcastChannel, IndexedDB, timers and clocks, the lifecycle of pages,
 * the network, and a server of the protocol in `server.ts`. All that comes to a page comes as a task of one agenda in virtual
 * time, and a seed decides when, so that equal seeds make equal histories.
 *
 * Not here: HTTP where no WebSocket gets through, conflicts and snapshots, which the simulator of clients covers; storage that
 * is deleted while pages are open; tabs without Web Locks.
 */

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

import { Program } from "./program.js";
import { type Result, simulate } from "./run.js";

interface Work {
  wasm: WebAssembly.Module;
  script: string;
  seeds: number[];
}

/** Of so many seeds one is simulated twice, to see that it comes to the same. */
const TWICE = 100;

/** Seeds of one thread: memory of engines is given back when it ends, and hardly before. */
const SHARE = 25;

if (isMainThread) {
  await command();
} else {
  const { wasm, script, seeds } = workerData as Work;
  const program = new Program(wasm, script);
  for (const seed of seeds) {
    const result = await simulate(program, seed);
    const again = seed % TWICE === 0 ? await simulate(program, seed) : result;
    if (again.hash !== result.hash) {
      result.violations.push("the same seed came to another history");
    }
    parentPort?.postMessage(result);
  }
}

async function command(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      seeds: { type: "string" },
      verbose: { type: "boolean", default: false },
      engine: { type: "string", default: "" },
      script: { type: "string", default: "" },
    },
  });
  const wasm = await WebAssembly.compile(readFileSync(values.engine));
  const script = readFileSync(values.script, "utf8");
  if (values.seed !== undefined) {
    const tell = values.verbose ? (line: string) => console.log(line) : undefined;
    finish([await simulate(new Program(wasm, script), Number(values.seed), tell)]);
  } else {
    finish(await all({ wasm, script, seeds: range(values.seeds ?? "200") }));
  }
}

/** Runs shares of the seeds on all cores. */
async function all({ wasm, script, seeds }: Work): Promise<Result[]> {
  const shares = Array.from({ length: Math.ceil(seeds.length / SHARE) }, (_, at) =>
    seeds.slice(at * SHARE, (at + 1) * SHARE),
  );
  const results: Result[] = [];
  const core = async () => {
    for (let share = shares.shift(); share; share = shares.shift()) {
      results.push(...(await work({ wasm, script, seeds: share })));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, core));
  if (results.length !== seeds.length) {
    throw new Error(`${seeds.length - results.length} seeds came to no end`);
  }
  return results.sort((one, other) => one.seed - other.seed);
}

function work(workerData: Work): Promise<Result[]> {
  return new Promise((resolve, reject) => {
    const results: Result[] = [];
    const worker = new Worker(new URL(import.meta.url), { workerData });
    worker.on("message", (result: Result) => results.push(result));
    worker.on("error", reject);
    worker.on("exit", () => resolve(results));
  });
}

function finish(results: Result[]): void {
  const failed = results.filter(({ violations }) => violations.length > 0);
  for (const { seed, violations } of failed) {
    console.log(`seed ${seed}: ${violations.join("; ")}`);
  }
  const sum = (of: (result: Result) => number) => results.reduce((total, result) => total + of(result), 0);
  console.log(
    `${results.length} seeds, ${failed.length} failed; ` +
      `${sum(({ tally }) => tally.tabs)} tabs, ${sum(({ tally }) => tally.writes)} writes, ` +
      `${sum(({ tally }) => tally.durable)} saved, ${sum(({ tally }) => tally.unknown)} outcomes unknown, ${sum(({ tally }) => tally.events)} events, ` +
      `${sum(({ tally }) => tally.steps)} steps; at rest ` +
      `${Math.round(sum(({ tally }) => tally.rest) / results.length / 1_000)} s after the end on average`,
  );
  if (results.length === 1) {
    console.log(`history ${results[0]?.hash}`);
  }
  process.exitCode = failed.length > 0 ? 1 : 0;
}

function range(text: string): number[] {
  const [first, end] = text.includes("..") ? text.split("..").map(Number) : [0, Number(text)];
  return Array.from({ length: (end as number) - (first as number) }, (_, index) => (first as number) + index);
}
