/**
 * Compiled, never run: what a strict consumer can write, and what the types must refuse. Each `@ts-expect-error`
 * fails the compilation if the mistake below it is accepted.
 */
import { RealtimeError, createClient } from "@webwaka/realtime";
import type {
  Client,
  Collection,
  Doc,
  Encryption,
  ErrorCode,
  Live,
  Operation,
  Outcome,
  Status,
  QueryAnswer,
  TransactionError,
  TransactionOutcome,
} from "@webwaka/realtime";
import { answerBackgroundSync, askForBackgroundSync } from "@webwaka/realtime/background-sync";
import { aesGcm } from "@webwaka/realtime/encryption";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>): void => undefined;

interface Card {
  title: string;
  done?: boolean;
  tags: readonly string[];
  place: { column: "todo" | "done"; rank: number } | null;
}

export async function use(signal: AbortSignal): Promise<void> {
  const client = await createClient({
    url: new URL("http://127.0.0.1:8787"),
    token: async ({ signal }) => (await fetch("/token", { signal })).text(),
    collections: { cards: "fieldLevel", notes: "lastWriteWins" },
    name: "app",
    schema: 1,
    signal,
  });
  const room = client.room<{ x: number; y: number }, string>("board-7", { interval: 100 });
  room.presence.enter({ x: 1, y: 2 });
  room.presence.update({ x: 3 });
  // @ts-expect-error: a state is of the room's type
  room.presence.enter({ x: "1", y: 2 });
  // @ts-expect-error: and so is a message
  await room.send(7);
  const reached: number = await client.user("ada").send({ any: "thing" });
  for await (const { from, data } of room.messages({ signal })) {
    same<typeof data, string>(true);
    void [from, reached];
  }
  same<typeof client, Client<{ readonly cards: "fieldLevel"; readonly notes: "lastWriteWins" }>>(true);
  same<Parameters<typeof client.collection>[0], "cards" | "notes">(true);

  const cards = client.collection<Card>("cards");
  same<typeof cards, Collection<Card>>(true);
  const card: Card = { title: "A", tags: [], place: { column: "todo", rank: 1 } };
  const operation = await cards.put("a", card, { signal });
  same<typeof operation, Operation>(true);
  await cards.update("a", { done: undefined, place: null });
  await cards.delete("a");

  const outcome = await operation.outcome({ signal });
  same<Outcome["type"], "accepted" | "merged" | "superseded" | "rejected" | "conflicted" | "published">(true);
  if (outcome.type === "merged") {
    same<typeof outcome.lost, readonly string[]>(true);
  } else if (outcome.type === "rejected") {
    same<typeof outcome.code, ErrorCode>(true);
  }

  const found = await cards.get("a");
  same<typeof found, Doc<Card> | undefined>(true);
  const live = cards.live({ from: "a", to: "b", limit: 10 });
  same<typeof live, Live<Card>>(true);
  same<ReturnType<typeof live.getSnapshot>, readonly Doc<Card>[]>(true);
  useSyncExternalStore(live.subscribe, live.getSnapshot);
  for await (const documents of cards.watch({ signal })) {
    same<(typeof documents)[number]["value"]["title"], string>(true);
  }
  for await (const status of client.statuses()) {
    same<typeof status, Status>(true);
    same<Status["link"], "up" | "degraded" | "down">(true);
  }
  client.rejected().forEach(({ seq }) => client.discard(seq));
  await client.close();
}

export async function encrypted(key: CryptoKey): Promise<void> {
  const encryption = aesGcm(key);
  same<typeof encryption, Encryption>(true);
  const open = async (): Promise<Client> =>
    createClient({ url: "", token: "", collections: { cards: "fieldLevel" }, encryption });
  const end = askForBackgroundSync(await open(), { tag: "cards" });
  same<typeof end, () => void>(true);
  answerBackgroundSync(open, { tag: "cards", patience: 1_000 });
}

export async function pay(client: Client, signal: AbortSignal): Promise<string> {
  const options = { idempotencyKey: "8e03978e-40d5-43e8", timeout: 5_000, signal };
  const outcome = await client.transaction<{ balance: number }>("ledger.transfer", { amount: 1 }, options);
  same<typeof outcome, TransactionOutcome<{ balance: number }>>(true);
  return outcome.type === "done" ? String(outcome.answer.balance) : outcome.code;
}

export async function balance(client: Client): Promise<QueryAnswer<{ balance: number }>> {
  const answer = await client.ask<{ balance: number }>(
    "ledger.balance",
    { account: "a" },
    { timeout: 5_000 },
  );
  same<typeof answer, QueryAnswer<{ balance: number }>>(true);
  return answer;
}

export function again(error: TransactionError): string {
  return error.idempotencyKey;
}

export function handle(error: unknown): string | undefined {
  if (error instanceof RealtimeError) {
    const code: ErrorCode = error.code;
    return error.retryable && code === "outbox_full" ? error.message : undefined;
  }
  return undefined;
}

export async function disposed(client: Client<{ cards: "fieldLevel" }>): Promise<void> {
  await using open = client;
  using live = open.collection<Card>("cards").live();
  live.close();
}

export async function mistakes(
  client: Client<{ cards: "fieldLevel" }>,
  cards: Collection<Card>,
): Promise<void> {
  // @ts-expect-error no such collection
  client.collection<Card>("others");
  // @ts-expect-error no such strategy
  await createClient({ url: "", token: "", collections: { cards: "newestWins" } });
  // @ts-expect-error a token is needed
  await createClient({ url: "", collections: { cards: "fieldLevel" } });
  // @ts-expect-error a date is not JSON
  client.collection<{ at: Date }>("cards");
  // @ts-expect-error a function is not JSON
  client.collection<{ f: () => void }>("cards");
  // @ts-expect-error nor is a BigInt, however deep
  client.collection<{ a: { b: bigint[] } }>("cards");
  // @ts-expect-error nor what is unknown
  client.collection<{ a: unknown }>("cards");
  // @ts-expect-error a title is needed
  await cards.put("a", { tags: [], place: null });
  // @ts-expect-error a title is text
  await cards.update("a", { title: 1 });
  // @ts-expect-error no such field
  await cards.update("a", { titel: "A" });
  // @ts-expect-error snapshots are immutable
  cards.live().getSnapshot().push();
  const [document] = cards.live().getSnapshot();
  if (document) {
    // @ts-expect-error values too
    document.value.title = "B";
  }
  // @ts-expect-error only what is done has an answer
  (await client.transaction("pay", {})).answer;
  // @ts-expect-error what was decided is no event
  await client.topic("t").publish(await client.transaction("pay", {}));
  // @ts-expect-error a transaction is never queued behind an operation
  await client.transaction("pay", {}, { after: client.operation(1) });
  // @ts-expect-error nor does anything wait for one
  await cards.delete("a", { after: client.transaction("pay", {}) });
  // @ts-expect-error the key of an encryption is one that the browser holds
  aesGcm("a passphrase");
  // @ts-expect-error a worker opens the client itself
  answerBackgroundSync(client);
  // @ts-expect-error the status is told, not set
  client.status.pending = 0;
}

/** React's signature. */
declare function useSyncExternalStore<T>(
  subscribe: (onStoreChange: () => void) => () => void,
  getSnapshot: () => T,
): T;
