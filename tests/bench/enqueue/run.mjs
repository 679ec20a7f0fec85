// Durable enqueue in Chromium, side by side: `node run.mjs [--json]`.
//
// Rounds are interleaved, so that a busy moment of the machine meets all alike, and each measurement has a page and a
// database of its own. Figures are medians, in operations per second.

import { build } from "esbuild";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { EXECUTABLE, FLAGS } from "../../chromium.mjs";
import { AIMS, CONTENDERS, median, MODES, ratios } from "./figures.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const json = process.argv.includes("--json");
const rounds = Number(process.env.BENCH_ROUNDS ?? 5);

const folder = await mkdtemp(join(tmpdir(), "bench-enqueue-"));
try {
  const figures = await measureAll();
  const ratio = ratios(figures);
  report(figures, ratio);
  if (json)
    console.log(
      JSON.stringify({ bench: "enqueue", rounds, unit: "ops/s", figures, ratios: ratio, aims: AIMS }),
    );
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measureAll() {
  const site = await serve();
  const context = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: EXECUTABLE,
    args: FLAGS,
  });
  const taken = new Map();
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const { mode, key: modeKey, count } of MODES) {
        // Nobody is always first, or always after the same neighbour's disk writes.
        for (const entry of [...CONTENDERS.slice(round), ...CONTENDERS.slice(0, round)]) {
          const page = await context.newPage();
          await page.goto(site.url);
          const speed = await page.evaluate((job) => globalThis.measure(job), { ...entry, mode, count });
          await page.close();
          const key = `${entry.key} ${modeKey}`;
          taken.set(key, [...(taken.get(key) ?? []), speed]);
        }
      }
      if (!json) process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    }
  } finally {
    await context.close();
    site.close();
  }
  return Object.fromEntries(
    CONTENDERS.map(({ key, durability }) => {
      const speeds = MODES.map((mode) => [mode.key, Math.round(median(taken.get(`${key} ${mode.key}`)))]);
      return [key, { durability, ...Object.fromEntries(speeds) }];
    }),
  );
}

/** The page, its script and the engine, on loopback. */
async function serve() {
  const script = join(folder, "page.js");
  await build({
    entryPoints: [join(here, "page.mjs")],
    outfile: script,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    logLevel: "error",
  });
  const files = {
    "/": ["text/html", "<!doctype html><title>bench</title><script type=module src=/page.js></script>"],
    "/page.js": ["text/javascript", await readFile(script)],
    "/engine.wasm": [
      "application/wasm",
      await readFile(fileURLToPath(import.meta.resolve("@webwaka/realtime/engine.wasm"))),
    ],
  };
  const server = createServer((request, response) => {
    const [type, body] = files[request.url] ?? [];
    if (body === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": type }).end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

function report(figures, ratio) {
  const line = (name, durability, ...speeds) =>
    console.log(
      `${name.padEnd(36)} ${durability.padEnd(8)} ${speeds.map((speed) => String(speed).padStart(14)).join(" ")}`,
    );
  console.log(
    `durable enqueue in Chromium, operations per second (median of ${rounds} interleaved rounds)\n`,
  );
  line("", "", ...MODES.map(({ mode, count }) => `${count} ${mode}`));
  for (const { key, name } of CONTENDERS) {
    const { durability, ...speeds } = figures[key];
    line(name, durability, ...MODES.map((mode) => speeds[mode.key]));
  }
  console.log();
  for (const [name, value] of Object.entries(ratio)) {
    const aim = AIMS[name] === undefined ? "" : `  aim ${AIMS[name]}${value < AIMS[name] ? "  MISSED" : ""}`;
    console.log(`${name.replaceAll("_", " ").padEnd(44)} ${value.toFixed(2)}${aim}`);
  }
}
