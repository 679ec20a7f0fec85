// Ten thousand connections: `node run.mjs [--json]`.
//
// 1. What an idle connection costs: resident memory of the server with all of them open, less what it had before, beside
//    Socket.IO in the same run.
// 2. A crowd: a thousand people in one room who all move, and what a bystander's edit takes meanwhile.
// 3. All come back at once, after the server was stopped and started, each waiting as our clients do (full jitter).
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { open } from "../fanout/socket.mjs";
import { listening } from "../listening.mjs";
import { serve, token as tokenFor } from "../webwaka.mjs";
import { session, somebody } from "./session.mjs";

const json = process.argv.includes("--json");
const scale = Number(process.env.BENCH_SCALE ?? 1);
const CONNECTIONS = Math.ceil(10_000 * scale);
const CROWD = Math.ceil(1_000 * scale);
const CROWD_SECONDS = 15;
const AIMS = { kib_per_connection: 12, memory_to_socketio: 1, seconds_to_come_back: 60 };
/** As a client of ours waits after a failure. */
const BACKOFF = { first: 1_000, most: 60_000 };

const socketio = await socketioMemory();
const data = mkdtempSync(join(tmpdir(), "bench-connections-"));
let server = await listening("webwaka-server", serve(data));
const { port } = server;
const token = tokenFor(data);
const kib = await ours();
const crowd = await crowded();
const back = await comeBack();
await server.stop();
rmSync(data, { recursive: true, force: true });

const figures = {
  kib_per_connection: kib.each,
  kib_per_connection_socketio: socketio,
  memory_to_socketio: kib.each / socketio,
  ...crowd,
  ...back,
};
for (const [name, figure] of Object.entries(figures)) {
  const aim = AIMS[name] === undefined ? "" : `aim: at most ${AIMS[name]}`;
  console.log(`${name.padEnd(44)}${figure.toFixed(2).padStart(12)}  ${aim}`);
}
if (json)
  console.log(JSON.stringify({ bench: "connections", connections: CONNECTIONS, ...figures, aims: AIMS }));
// Connections of the last part are still open.
process.exit(0);

async function socketioMemory() {
  const program = fileURLToPath(new URL("../fanout/socketio.mjs", import.meta.url));
  const peer = await listening("Socket.IO", [process.execPath, program]);
  const before = residentKib(peer.pid);
  const all = await each(CONNECTIONS, async () => {
    let ready;
    const greeted = new Promise((resolve) => (ready = resolve));
    let connection;
    const early = [];
    const take = (text) => {
      if (text === "2") connection.send("3");
      if (text.startsWith("0{")) connection.send("40");
      if (text.startsWith("40{")) ready();
    };
    connection = await open(peer.port, { path: "/socket.io/?EIO=4&transport=websocket" }, (text) =>
      connection ? take(text) : early.push(text),
    );
    early.forEach(take);
    await greeted;
    return connection;
  });
  await sleep(3_000);
  const used = (residentKib(peer.pid) - before) / CONNECTIONS;
  all.forEach((connection) => connection.end());
  await peer.stop();
  return used;
}

/** Opens them all, and leaves them open no longer than it takes to look. */
async function ours() {
  const before = residentKib(server.pid);
  const all = await each(CONNECTIONS, () => session(port, somebody(token)));
  await sleep(3_000);
  const used = residentKib(server.pid) - before;
  all.forEach((connection) => connection.end());
  await sleep(1_000);
  return { each: used / CONNECTIONS };
}

async function crowded() {
  const late = [];
  let seen = 0;
  const SENT = '"sent":';
  const watch = (text) => {
    if (!text.startsWith('{"room"')) return;
    const now = performance.now();
    for (let at = text.indexOf(SENT); at >= 0; at = text.indexOf(SENT, at + SENT.length)) {
      seen += 1;
      late.push(now - Number.parseFloat(text.slice(at + SENT.length, at + SENT.length + 16)));
    }
  };
  const bystander = await acknowledged();
  const calm = await bystander.edits(50);
  const people = await each(CROWD, (n) => session(port, somebody(token), n === 0 ? watch : undefined));
  const place = (n) => {
    const sent = Number(performance.now().toFixed(3));
    people[n].send(JSON.stringify({ enter: { room: "storm", state: { x: n, y: seen % 100, sent } } }));
  };
  people.forEach((_, n) => place(n));
  await sleep(3_000);
  [seen, late.length] = [0, 0];
  const cpu = cpuSeconds(server.pid);
  const end = performance.now() + CROWD_SECONDS * 1_000;
  const busy = bystander.edits(50);
  let moved = 0;
  while (performance.now() < end) {
    // Everybody moves twice a second.
    for (let n = 0; n < CROWD; n += 1) {
      place(n);
      moved += 1;
      if ((n + 1) % Math.ceil(CROWD / 10) === 0) await sleep(50);
    }
  }
  const edit = await busy;
  const used = cpuSeconds(server.pid) - cpu;
  late.sort((one, other) => one - other);
  people.forEach((connection) => connection.end());
  bystander.end();
  await sleep(1_000);
  const at = (share) => late[Math.floor((late.length - 1) * share)] ?? Number.NaN;
  return {
    crowd_moves_per_second: moved / CROWD_SECONDS,
    crowd_cpu_share: used / CROWD_SECONDS,
    crowd_states_seen_per_second: seen / CROWD_SECONDS,
    crowd_state_age_ms_p50: at(0.5),
    crowd_state_age_ms_p99: at(0.99),
    edit_ms_p50_alone: calm,
    edit_ms_p50_beside_the_crowd: edit,
  };
}

/** Somebody who edits documents, one after the other. */
async function acknowledged() {
  let answered;
  const who = somebody(token);
  const connection = await session(port, who, (text) => {
    if (text.startsWith('{"outcomes"')) answered?.();
    if (text.startsWith('{"error"')) throw new Error(text);
  });
  let seq = 0;
  const edit = async () => {
    seq += 1;
    const answer = new Promise((resolve) => (answered = resolve));
    const begin = performance.now();
    const event = { specversion: "1.0", id: `${who.client}-${seq}`, source: "/bench", type: "moved" };
    connection.send(JSON.stringify({ publish: { publications: [{ seq, topic: "bystander", event }] } }));
    await answer;
    return performance.now() - begin;
  };
  return {
    async edits(count) {
      const times = [];
      for (let n = 0; n < count; n += 1) {
        times.push(await edit());
        await sleep(100);
      }
      return times.sort((one, other) => one - other)[Math.floor(count / 2)];
    },
    end: () => connection.end(),
  };
}

async function comeBack() {
  let down = false;
  const times = [];
  let all;
  const home = new Promise((resolve) => (all = resolve));
  let begin;
  const client = async (who) => {
    for (let most = BACKOFF.first; ; most = Math.min(most * 2, BACKOFF.most)) {
      if (down) await sleep(Math.random() * most);
      try {
        const ended = () => {
          if (down) void client(who);
        };
        await session(port, who, undefined, ended);
        if (down && times.push(performance.now() - begin) === CONNECTIONS) all();
        return;
      } catch {
        if (!down) await sleep(50);
      }
    }
  };
  await each(CONNECTIONS, () => client(somebody(token)));
  down = true;
  await server.stop("SIGTERM");
  server = await listening("webwaka-server", serve(data, port));
  begin = performance.now();
  await home;
  times.sort((one, other) => one - other);
  return {
    seconds_to_come_back: times.at(-1) / 1_000,
    seconds_to_come_back_p99: times[Math.floor((times.length - 1) * 0.99)] / 1_000,
  };
}

/** So many of something, fifty at a time. */
async function each(count, make) {
  const all = [];
  while (all.length < count) {
    const some = Math.min(50, count - all.length);
    all.push(...(await Promise.all(Array.from({ length: some }, (_, n) => make(all.length + n)))));
  }
  return all;
}

function residentKib(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** User and system time that a process has used, in seconds. */
function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
