// Reads a topic from a time on, as fast as it comes, and counts what there was.
//
//   node replay.mjs --server URL --token TOKEN --since 2026-11-01T00:00:00Z [--topic orders]
//
// Prints one line of JSON: how many events there were of each type, how many in all, and how many of them a second.

import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    server: { type: "string" },
    token: { type: "string" },
    since: { type: "string" },
    topic: { type: "string", default: "orders" },
  },
});
const { server, token, since, topic } = options;
if (!server || !token || !since) throw new Error("--server, --token and --since are needed");

async function page(query) {
  const response = await fetch(`${server}/v1/streams/${topic}?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!response.ok) throw new Error(`the server answered ${response.status}: ${await response.text()}`);
  return response;
}

const types = new Map();
let events = 0;
const start = performance.now();
let next = page(`since=${encodeURIComponent(since)}`);
while (next) {
  const response = await next;
  const { headers } = response;
  // Where the next page begins is known before this one is here: it is on its way while this one is counted.
  next = headers.has("stream-up-to-date") ? undefined : page(`offset=${headers.get("stream-next-offset")}`);
  for (const { type } of await response.json()) {
    types.set(type, (types.get(type) ?? 0) + 1);
    events += 1;
  }
}
const seconds = (performance.now() - start) / 1000;
const told = {
  since,
  events,
  types: Object.fromEntries(types),
  eventsPerSecond: Math.round(events / seconds),
};
process.stdout.write(`${JSON.stringify(told)}\n`);
