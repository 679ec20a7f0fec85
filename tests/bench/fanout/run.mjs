// One publisher and many subscribers of one topic, side by side: `node run.mjs [--json]`.
//
// Two loads: messages far apart, each of which costs a write to each socket, and bursts, of which several can share a
// write. Counted are the messages that subscribers got, for each second of processor time that the server used, so
// that other work on the machine weighs on all alike. Rounds are interleaved; figures are medians of the rounds.
import { setTimeout as sleep } from "node:timers/promises";

import { median } from "../enqueue/figures.mjs";
import { SERVERS, start } from "./servers.mjs";

const json = process.argv.includes("--json");
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const scale = Number(process.env.BENCH_SCALE ?? 1);
const SUBSCRIBERS = Number(process.env.BENCH_SUBSCRIBERS ?? 1_000);
const LOADS = [
  { key: "sparse", name: "far apart", times: Math.ceil(200 * scale), together: 1, pause: 20 },
  { key: "burst", name: "bursts of 100", times: Math.ceil(20 * scale), together: 100, pause: 50 },
];
const AIMS = { ratio_to_socketio_sparse: 2, ratio_to_socketio_burst: 5, ratio_to_limit: 0.8 };
const SENT = '"sent":';
/** Milliseconds after which a message counts as lost. */
const PATIENCE = 30_000;

const taken = new Map();
for (let round = 0; round < rounds; round += 1) {
  const first = round % SERVERS.length;
  for (const server of [...SERVERS.slice(first), ...SERVERS.slice(0, first)]) {
    for (const [load, figures] of await measure(server)) {
      const key = `${server.key} ${load}`;
      taken.set(key, [...(taken.get(key) ?? []), figures]);
    }
  }
  if (!json) process.stderr.write(`round ${round + 1} of ${rounds}\n`);
}
const figures = Object.fromEntries(SERVERS.map(({ key }) => [key, summary(key)]));
const ratios = {
  ratio_to_socketio_sparse: figures.ours.sparse.perCpuSecond / figures.socketio.sparse.perCpuSecond,
  ratio_to_socketio_burst: figures.ours.burst.perCpuSecond / figures.socketio.burst.perCpuSecond,
  ratio_to_limit: figures.ours.sparse.perCpuSecond / figures.limit.sparse.perCpuSecond,
};
report();
if (json)
  console.log(
    JSON.stringify({ bench: "fanout", rounds, subscribers: SUBSCRIBERS, figures, ...ratios, aims: AIMS }),
  );

async function measure(server) {
  const process = await start(server);
  let got = 0;
  let late = [];
  const onText = (text) => {
    const now = performance.now();
    for (let at = text.indexOf(SENT); at >= 0; at = text.indexOf(SENT, at + SENT.length)) {
      got += 1;
      late.push(now - Number.parseFloat(text.slice(at + SENT.length, at + SENT.length + 16)));
    }
  };
  const subscribers = [];
  while (subscribers.length < SUBSCRIBERS) {
    const some = Math.min(50, SUBSCRIBERS - subscribers.length);
    subscribers.push(...(await Promise.all(Array.from({ length: some }, () => process.subscribe(onText)))));
  }
  const publisher = await process.publisher();
  const results = [];
  for (const { key, times, together, pause } of LOADS) {
    got = 0;
    // Not measured: the first of a kind, which fills caches and lets a compiler see what is hot.
    const warm = Math.ceil(times / 10);
    let cpu;
    for (let time = -warm; time < times; time += 1) {
      if (time === 0) {
        got = 0;
        late = [];
        cpu = process.cpu();
      }
      await publisher.publish(Array.from({ length: together }, (_, n) => event(key, time * together + n)));
      await arrived((time < 0 ? time + warm + 1 : time + 1) * together * SUBSCRIBERS);
      await sleep(pause);
    }
    const used = process.cpu() - cpu;
    late.sort((one, other) => one - other);
    const at = (share) => late[Math.floor((late.length - 1) * share)];
    results.push([key, { perCpuSecond: got / used, p50: at(0.5), p99: at(0.99) }]);
  }
  publisher.end();
  subscribers.forEach((subscriber) => subscriber.end());
  await process.stop();
  return results;

  async function arrived(count) {
    const deadline = performance.now() + PATIENCE;
    while (got < count) {
      if (performance.now() > deadline)
        throw new Error(`${server.name}: ${count - got} of ${count} messages did not arrive`);
      await sleep(1);
    }
    if (got > count) throw new Error(`${server.name}: ${got - count} messages came twice`);
  }
}

/** An event of some 250 bytes, of a load, with the time at which it is sent. */
function event(load, n) {
  const sent = Number(performance.now().toFixed(3));
  const data = { item: "Oat milk", count: Math.abs(n) % 7, note: "x".repeat(100), sent };
  const about = { specversion: "1.0", id: `b-${load}-${n}`, source: "/bench", type: "placed" };
  return JSON.stringify({ ...about, data });
}

function summary(server) {
  return Object.fromEntries(
    LOADS.map(({ key }) => {
      const measured = taken.get(`${server} ${key}`);
      const of = (figure) => median(measured.map((each) => each[figure]));
      return [
        key,
        {
          perCpuSecond: Math.round(of("perCpuSecond")),
          p50: Number(of("p50").toFixed(2)),
          p99: Number(of("p99").toFixed(2)),
        },
      ];
    }),
  );
}

function report() {
  const line = (name, ...cells) =>
    console.log(`${name.padEnd(40)}${cells.map((cell) => String(cell).padStart(28)).join("")}`);
  console.log(
    `messages to ${SUBSCRIBERS} subscribers per CPU-second of the server; 50th and 99th percentile in ms (median of ${rounds} interleaved rounds)\n`,
  );
  line("", ...LOADS.map(({ name }) => name));
  for (const { key, name } of SERVERS) {
    const cell = ({ perCpuSecond, p50, p99 }) => `${perCpuSecond}  ${p50.toFixed(1)}  ${p99.toFixed(1)}`;
    line(name, ...LOADS.map((load) => cell(figures[key][load.key])));
  }
  console.log();
  for (const [name, aim] of Object.entries(AIMS)) line(`${name}, aim ${aim}`, ratios[name].toFixed(2));
}
