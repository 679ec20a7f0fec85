import { createClient } from "@webwaka/realtime";

import { documents, id } from "../documents.mjs";

let client;

/** Queues operations without a network: `put` resolves once each is durable on this device. */
export async function queue({ server, count }) {
  await open(server);
  client.setNetwork(false);
  const cards = client.collection("cards");
  await Promise.all(Array.from(documents(0, count), ([id, value]) => cards.put(id, value)));
}

/** From the network to the last operation judged, contained in the replica and gone from the outbox. */
export async function drain() {
  client.setNetwork(true);
  for await (const { pending, rejected } of client.statuses()) {
    if (rejected > 0) throw new Error(`${rejected} operations were rejected`);
    if (pending === 0) return;
  }
}

/** From an empty client to the newest document stored and readable. */
export async function sync({ server, count }) {
  await open(server);
  const cards = client.collection("cards");
  for await (const found of cards.watch({ from: id(count - 1) })) if (found.length > 0) return;
}

export async function fill({ server, count }) {
  await sync({ server, count });
  await client.close();
}

/** What is on this device, with a server that does not answer. Like the others' databases, what was read stays open. */
export async function read({ server }) {
  await open(server);
  const cards = client.collection("cards").watch()[Symbol.asyncIterator]();
  return (await cards.next()).value.length;
}

async function open({ url, token }) {
  client = await createClient({
    url,
    token,
    collections: { cards: "fieldLevel" },
    wasm: new URL("/engine.wasm", location.origin),
  });
  if (!client.status.durable) throw new Error("the browser gave no storage: there is nothing to measure");
}
