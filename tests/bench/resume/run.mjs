// Current again after missing many events, side by side: `node run.mjs [--json]`.
//
// A page follows a topic; the network goes away, a thousand events are published, the network is back. Measured are the
// bytes on the wire, both ways and with what is under the protocol, and the time from the first new connection to the
// last event. How long a client waits before it connects again is its choice and told apart. Rounds are interleaved.
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { median } from "../enqueue/figures.mjs";
import { browser } from "../reconcile/browser.mjs";
import { meter } from "../reconcile/meter.mjs";
import { start } from "../reconcile/servers/start.mjs";
import { serve } from "../reconcile/site.mjs";

const CONTENDERS = [
  { key: "ours", name: "@webwaka/realtime", path: "/v1/streams/feed" },
  { key: "socketio", name: "Socket.IO, recovery of the connection's state", path: "/publish" },
  { key: "durable", name: "@durable-streams/client, its server on files", path: "/feed" },
];
const json = process.argv.includes("--json");
const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const MISSED = Math.ceil(1_000 * Number(process.env.BENCH_SCALE ?? 1));
const TOGETHER = 100;
const WORDS =
  "the driver comes at nine and needs papers signed by manager of clinic in back room before oat milk is cold call ask key boxes again".split(
    " ",
  );

const folder = await mkdtemp(join(tmpdir(), "bench-resume-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const site = await serve({
  folder: new URL(".", import.meta.url),
  contenders: CONTENDERS.map(({ key }) => key),
});
const taken = new Map(CONTENDERS.map(({ key }) => [key, []]));
try {
  for (let round = 0; round < rounds; round += 1) {
    const turn = round % CONTENDERS.length;
    for (const contender of [...CONTENDERS.slice(turn), ...CONTENDERS.slice(0, turn)]) {
      taken.get(contender.key).push(await measure(contender));
    }
    if (!json) process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
} finally {
  site.close();
}
report();

async function measure({ key, path }) {
  const server = await start(key, folder);
  const wire = await meter(server.url);
  const chromium = await browser(folder);
  const headers = {
    "content-type": "application/json",
    ...(server.token && { authorization: `Bearer ${server.token}` }),
  };
  const send = async (method, body) => {
    const answer = await fetch(server.url + path, { method, headers, ...(body && { body }) });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}`);
  };
  const publish = (from, count) =>
    send("POST", JSON.stringify(Array.from({ length: count }, (_, n) => event(from + n))));
  try {
    if (key !== "socketio") await send("PUT");
    const page = await chromium.page(`${site.url}/${key}.html`);
    await page.evaluate((job) => globalThis.contender.follow(job), { url: wire.url, token: server.token });
    const current = (n) => page.evaluate((n) => globalThis.contender.current(n), n);
    // Until the page hears of one it is not known whether it follows yet.
    let last = -1;
    for (let heard = false; !heard;) {
      await publish((last += 1), 1);
      const soon = new Promise((resolve) => setTimeout(resolve, 200, false));
      heard = await Promise.race([current(last), soon]);
    }
    await current(last);

    wire.cut();
    for (let n = 0; n < MISSED; n += TOGETHER) await publish(last + 1 + n, Math.min(TOGETHER, MISSED - n));
    last += MISSED;
    const back = performance.timeOrigin + performance.now();
    const connected = wire.mend();
    const then = await current(last);
    const first = await connected;
    return { milliseconds: then - first, waited: first - back, kilobytes: wire.bytes() / 1_000 };
  } finally {
    await chromium.close();
    wire.close();
    await server.stop();
  }
}

/** An event of some 250 bytes, of which no two have the same words. */
function event(n) {
  let state = n + 1;
  const word = () => WORDS[(state = (state * 48_271) % 2_147_483_647) % WORDS.length];
  const data = {
    item: `${word()} ${word()}`,
    count: n % 7,
    note: Array.from({ length: 16 }, word).join(" "),
  };
  return { specversion: "1.0", id: `r-${n}`, source: "/bench", type: "placed", data, n };
}

function report() {
  const figures = Object.fromEntries(
    CONTENDERS.map(({ key }) => {
      const of = (figure) => Number(median(taken.get(key).map((each) => each[figure])).toFixed(1));
      return [key, { milliseconds: of("milliseconds"), kilobytes: of("kilobytes"), waited: of("waited") }];
    }),
  );
  const ratio = (figure, other) => figures[other][figure] / figures.ours[figure];
  const ratios = Object.fromEntries(
    ["socketio", "durable"].flatMap((other) => [
      [`times_as_fast_as_${other}`, ratio("milliseconds", other)],
      [`bytes_of_${other}_to_ours`, ratio("kilobytes", other)],
    ]),
  );
  console.log(`current again after ${MISSED} missed events (median of ${rounds} interleaved rounds)\n`);
  const line = (name, ...cells) =>
    console.log(`${name.padEnd(48)}${cells.map((cell) => String(cell).padStart(20)).join("")}`);
  line("", "ms", "kB on the wire", "ms until it tried");
  for (const { key, name } of CONTENDERS) {
    const { milliseconds, kilobytes, waited } = figures[key];
    line(name, milliseconds, kilobytes, waited);
  }
  console.log();
  for (const [name, value] of Object.entries(ratios)) line(name, value.toFixed(2));
  if (json) console.log(JSON.stringify({ bench: "resume", rounds, missed: MISSED, figures, ratios }));
}
