// A worker that tells people about orders. Start as many as you like: they share the topic's events between them, and
// those of one subject are told in their order.
//
//   node notifier.mjs --server URL --token TOKEN [--topic orders] [--group notifier] [--name NAME] [--to URL]
//
// With `--to` each notification is posted there; its `Idempotency-Key` is the event's position, because an event comes
// once more when a worker dies between sending it and saying so. Otherwise it is a line of JSON on standard output.

import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    server: { type: "string" },
    token: { type: "string" },
    topic: { type: "string", default: "orders" },
    group: { type: "string", default: "notifier" },
    name: { type: "string", default: `notifier-${process.pid}` },
    to: { type: "string" },
  },
});
const { server, token, topic, group, name, to } = options;
if (!server || !token) throw new Error("--server and --token are needed");

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => stop.abort());

async function call(method, path, body, signal) {
  const response = await fetch(`${server}/v1/groups/${group}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { code: answer.code });
  return answer;
}

/** Tells one person of one event. */
async function notify({ position, event }) {
  const notification = {
    id: position,
    to: event.subject,
    text: `${event.type}: ${event.data?.text ?? event.id}`,
  };
  if (!to) {
    process.stdout.write(`${JSON.stringify(notification)}\n`);
    return;
  }
  const response = await fetch(to, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": position },
    body: JSON.stringify(notification),
  });
  if (!response.ok) throw new Error(`${to} answered ${response.status}`);
}

/** Says what became of an event. Whoever took too long is told so, and somebody else has the event by then. */
async function settle(verb, body) {
  try {
    await call("POST", `/${verb}`, body);
  } catch (error) {
    if (error.code !== "fenced") throw error;
  }
}

// Made once, however many workers ask for it.
await call("PUT", "", { topic, rules: { lease_ms: 30_000, attempts: 5, poison: "park" } });
while (!stop.signal.aborted) {
  let claimed;
  try {
    // Whoever is stopped while it waits leaves no lease behind: it asks for few events, and for a short while.
    claimed = await call("POST", "/claim", { worker: name, events: 10, wait_ms: 1_000 });
  } catch (error) {
    if (error.code) throw error;
    // The server is away for a moment.
    await new Promise((resolve) => setTimeout(resolve, 200));
    continue;
  }
  if (!claimed.recovered) {
    const { events, through } = claimed.lost;
    process.stderr.write(`${events} events up to ${through} are gone: nobody was told of them\n`);
    if (claimed.events.length === 0) await settle("ack", { lease: claimed.lease });
  }
  for (const delivery of claimed.events) {
    const about = { lease: claimed.lease, positions: [delivery.position] };
    try {
      await notify(delivery);
    } catch (error) {
      await settle("nack", { ...about, error: String(error.message).slice(0, 200) });
      continue;
    }
    await settle("ack", about);
  }
}
