// Durable appends of one event each, side by side: `node run.mjs [--json]`.
//
// Each writer has a connection and sends its next event when the last one was answered, all of them into one topic; in one
// row it has more events waiting, and sends what a frame may hold together, as an outbox does. Rounds
// are interleaved, so that a busy moment of the machine meets all alike, and each measurement has a server and a
// folder of its own. Figures are medians of the rounds.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { median } from "../enqueue/figures.mjs";
import { SERVERS, start } from "./servers.mjs";

const json = process.argv.includes("--json");
const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const seconds = 3 * Number(process.env.BENCH_SCALE ?? 1);
const WRITERS = [1, 64];
const OURS = [
  { key: "ours_http", over: "HTTP" },
  { key: "ours_websocket", over: "WebSocket" },
];
/** What our figure should be at least, of the others' at as many writers. */
const AIMS = { durable_streams: 5, best_of_the_others: 1 };

const folder = await mkdtemp(join(tmpdir(), "bench-append-"));
try {
  const figures = await measureAll();
  const ratios = compare(figures);
  report(figures, ratios);
  if (json)
    console.log(JSON.stringify({ bench: "append", rounds, unit: "appends/s", figures, ratios, aims: AIMS }));
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measureAll() {
  const taken = new Map();
  for (let round = 0; round < rounds; round += 1) {
    const first = round % SERVERS.length;
    for (const server of [...SERVERS.slice(first), ...SERVERS.slice(0, first)]) {
      for (const writers of WRITERS) {
        const key = `${server.key} ${writers}`;
        taken.set(key, [...(taken.get(key) ?? []), await measure(server, writers)]);
      }
    }
    if (!json) process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
  const of = (server, writers) => {
    const measured = taken.get(`${server.key} ${writers}`);
    return {
      perSecond: Math.round(median(measured.map(({ perSecond }) => perSecond))),
      p99: Number(median(measured.map(({ p99 }) => p99)).toFixed(2)),
    };
  };
  return Object.fromEntries(
    SERVERS.map((server) => [
      server.key,
      Object.fromEntries(WRITERS.map((writers) => [writers, of(server, writers)])),
    ]),
  );
}

async function measure(server, writers) {
  const { append, writer, stop } = await start(server, folder);
  const together = server.together ?? 1;
  const times = [];
  let counting = false;
  let over = false;
  const write = async (_, number) => {
    const name = `w${number}`;
    const connection = await writer(name);
    for (let n = 0; !over; n += together) {
      const events = Array.from({ length: together }, (_, more) => event(number, n + more));
      const request = append(events, name);
      const begin = performance.now();
      await connection.ask(request);
      if (counting) times.push(performance.now() - begin);
    }
    connection.end();
  };
  const writing = Promise.all(Array.from({ length: writers }, write));
  await Promise.race([writing, sleep(500)]);
  counting = true;
  const begin = performance.now();
  await Promise.race([writing, sleep(seconds * 1000)]);
  counting = false;
  const took = (performance.now() - begin) / 1000;
  over = true;
  await writing;
  await stop();
  times.sort((one, other) => one - other);
  return { perSecond: (times.length * together) / took, p99: times[Math.floor(times.length * 0.99)] };
}

/** An event of some 250 bytes. */
function event(writer, n) {
  const data = { item: "Oat milk", count: n % 7, note: "x".repeat(100) };
  const about = {
    specversion: "1.0",
    id: `${writer}-${n}`,
    source: "/bench",
    type: "placed",
    subject: `s${n % 50}`,
  };
  return JSON.stringify({ ...about, data });
}

/** What each of ours that sends one event at a time is of the others' at as many writers. */
function compare(figures) {
  const ratios = (ours, writers) => {
    const of = (key) => figures[key][writers].perSecond;
    return {
      durable_streams: of(ours) / of("durable_streams"),
      best_of_the_others: of(ours) / Math.max(of("nats"), of("redis")),
    };
  };
  const both = (writers) => Object.fromEntries(OURS.map(({ key }) => [key, ratios(key, writers)]));
  return Object.fromEntries(WRITERS.map((writers) => [writers, both(writers)]));
}

function report(figures, ratios) {
  const line = (name, ...cells) =>
    console.log(`${name.padEnd(48)}${cells.map((cell) => String(cell).padStart(20)).join("")}`);
  console.log(
    `durable appends per second, and the 99th percentile in ms (median of ${rounds} interleaved rounds)\n`,
  );
  line("", ...WRITERS.map((writers) => `${writers} writer${writers > 1 ? "s" : ""}`));
  for (const { key, name } of SERVERS) {
    line(
      name,
      ...WRITERS.map(
        (writers) => `${figures[key][writers].perSecond}  ${figures[key][writers].p99.toFixed(2)}`,
      ),
    );
  }
  console.log();
  for (const { key, over } of OURS) {
    for (const [name, aim] of Object.entries(AIMS)) {
      const cells = WRITERS.map((writers) => ratios[writers][key][name].toFixed(2));
      line(`${over}: times ${name.replaceAll("_", " ")}, aim ${aim}`, ...cells);
    }
  }
}
