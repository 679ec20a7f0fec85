import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import test, { type TestContext } from "node:test";
import { openClient } from "../src/client.js";
import type { Client, CloudEvent, Operation, TransactionError, TransactionOutcome } from "../src/types.js";
import { ScriptedEngine } from "./scripted_engine.js";
import { settled } from "./setup.js";

/** One request as it came. */
interface Came {
  path: string;
  key: string;
  token: string;
  body: string;
}

/** What the server does about a request: an answer, or to break the connection. */
type Answers = (response: ServerResponse, came: Came) => void;

/** A client that is connected, and a server of the test's that it sends transactions to. */
async function start(t: TestContext, ...answers: Answers[]) {
  const came: Came[] = [];
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    let body = "";
    request.on("data", (part) => (body += String(part)));
    request.on("end", () => {
      const { url: path = "", headers } = request;
      const one = { path, key: String(headers["idempotency-key"]), token: headers.authorization ?? "", body };
      came.push(one);
      (answers[came.length - 1] ?? answers.at(-1))?.(response, one);
    });
  };
  const server = createServer(serve).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const engine = new ScriptedEngine();
  engine.statusNow = { ...engine.statusNow, link: "up" };
  let tokens = 0;
  const client = await openClient(engine.open, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`,
    token: () => `t${++tokens}`,
    collections: { cards: "fieldLevel" },
  });
  return { client, engine, came };
}

const says =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answers =>
  (response, { key }) =>
    response.writeHead(status, { "idempotency-key": key, ...headers }).end(JSON.stringify(body));

/** An answer of somebody between client and server. */
const foreign =
  (status: number, body: string): Answers =>
  (response) =>
    response.writeHead(status).end(body);

const breaks: Answers = (response) => response.destroy();

test("a transaction is one request with a key of its own, and its outcome is the answer", async (t) => {
  const { client, engine, came } = await start(t, says(200, { balance: 7 }), says(200, 1));
  const outcome = await client.transaction<{ balance: number }>("ledger.transfer", { amount: 3 });
  assert.deepEqual(outcome, { type: "done", answer: { balance: 7 }, replayed: false });
  await client.transaction("ledger.transfer", { amount: 3 });
  assert.deepEqual(
    came.map(({ path, token, body }) => [path, token, body]),
    [1, 2].map((n) => ["/base/v1/transactions/ledger.transfer", `Bearer t${n}`, '{"amount":3}']),
  );
  assert.match(came.map(({ key }) => key).join(" "), /^"[0-9a-f]{32}" "[0-9a-f]{32}"$/);
  assert.notEqual(came[0]?.key, came[1]?.key);
  assert.deepEqual(engine.called("submit"), [], "nothing of it goes to the engine");
});

test("a refusal is an outcome, and a repetition is told as one", async (t) => {
  const error = { code: "insufficient_funds", message: "no" };
  const refusal = { code: "transaction_refused", detail: "no", error };
  const { client } = await start(t, says(409, refusal, { "idempotent-replayed": "true" }));
  const outcome = await client.transaction("ledger.transfer", {}, { idempotencyKey: 'a"\\b' });
  assert.deepEqual(outcome, { type: "refused", ...error, replayed: true });
});

test("an answer that is lost has the same asked again, with the same key", async (t) => {
  const problem = { code: "storage_unavailable", detail: "full" };
  const { client, came } = await start(
    t,
    breaks,
    foreign(200, "<html>log in</html>"),
    foreign(200, '{"balance":1}'),
    foreign(502, "bad gateway"),
    says(503, problem),
    says(200, 5),
  );
  const outcome = await client.transaction("pay", 1, { idempotencyKey: "k" });
  assert.deepEqual(outcome, { type: "done", answer: 5, replayed: false });
  assert.deepEqual(
    came.map(({ key, body }) => [key, body]),
    Array.from({ length: 6 }, () => ['"k"', "1"]),
  );
});

test("without a connection it is refused at once and never sent", async (t) => {
  const { client, engine, came } = await start(t, says(200, 1));
  engine.statusNow = { ...engine.statusNow, link: "down" };
  const refused = client.transaction("pay", {}, { idempotencyKey: "k" });
  await assert.rejects(refused, { code: "offline", retryable: true, idempotencyKey: "k" });
  engine.statusNow = { ...engine.statusNow, link: "degraded" };
  engine.emit("statusChanged");
  await settled();
  assert.equal((await client.transaction("pay", {})).type, "done");
  assert.equal(came.length, 1);
});

test("what the server does not take has not happened, unless an answer was lost before", async (t) => {
  const never = says(404, { code: "no_such_transaction", detail: "none" });
  const { client, came } = await start(t, never, breaks, never);
  const refused = client.transaction("pay", {}, { idempotencyKey: "k" });
  await assert.rejects(refused, { code: "no_such_transaction", retryable: false, idempotencyKey: "k" });
  const lost = client.transaction("pay", {}).catch((error: unknown) => error as TransactionError);
  const { code, retryable, idempotencyKey } = (await lost) as TransactionError;
  assert.deepEqual([code, retryable], ["outcome_unknown", true]);
  assert.deepEqual(
    came.slice(1).map(({ key }) => key),
    [1, 2].map(() => `"${idempotencyKey}"`),
  );
});

test("after its time the outcome is unknown, and the key tells it later", async (t) => {
  const { client } = await start(t, () => undefined, says(200, 1, { "idempotent-replayed": "true" }));
  const late = client.transaction("pay", {}, { timeout: 50, idempotencyKey: "k" });
  await assert.rejects(late, { code: "outcome_unknown", retryable: true, idempotencyKey: "k" });
  const again = await client.transaction("pay", {}, { idempotencyKey: "k" });
  assert.deepEqual(again, { type: "done", answer: 1, replayed: true });
});

test("what cannot be sent is not, and whoever aborts hears no more of it", async (t) => {
  const { client, came } = await start(t, () => undefined);
  for (const name of ["", "../push", "A", "-a", "x".repeat(65)]) {
    await assert.rejects(client.transaction(name, {}), { code: "invalid_value" }, name);
  }
  for (const idempotencyKey of ["", "ä", "a\n", "x".repeat(129)]) {
    await assert.rejects(client.transaction("pay", {}, { idempotencyKey }), { code: "invalid_value" });
  }
  await assert.rejects(client.transaction("pay", { n: 1n }), { code: "invalid_value" });
  await assert.rejects(client.transaction("pay", {}, { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
  assert.equal(came.length, 0);
  const ending = new AbortController();
  const aborted = client.transaction("pay", {}, { signal: ending.signal });
  ending.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  await client.close();
  await assert.rejects(client.transaction("pay", {}), { code: "closed" });
});

test("an outcome is no event, also where nothing has looked at types", async (t) => {
  const { client, engine } = await start(
    t,
    says(200, 1),
    says(409, { code: "transaction_refused", error: {} }),
  );
  for (const name of ["one", "two"]) {
    const outcome: object = await client.transaction(name, {});
    const event = outcome as CloudEvent;
    await assert.rejects(client.topic("t").publish(event), { code: "invalid_value" });
  }
  assert.deepEqual(engine.called("submit"), []);
});

test("a question is one request without a key, and its answer is the application's", async (t) => {
  const error = { code: "no_such_account", message: "none" };
  const { client, engine, came } = await start(
    t,
    says(200, { balance: 7 }),
    says(409, { code: "transaction_refused", detail: "none", error }),
  );
  const answer = await client.ask<{ balance: number }>("ledger.balance", {
    account: "a b&c",
    deep: true,
    n: 1,
  });
  assert.deepEqual(answer, { type: "done", answer: { balance: 7 } });
  assert.deepEqual(await client.ask("ledger.balance"), { type: "refused", ...error });
  assert.deepEqual(
    came.map(({ path, key, token, body }) => [path, key, token, body]),
    [
      ["/base/v1/transactions/ledger.balance?account=a+b%26c&deep=true&n=1", "undefined", "Bearer t1", ""],
      ["/base/v1/transactions/ledger.balance", "undefined", "Bearer t2", ""],
    ],
  );
  assert.deepEqual(engine.called("submit"), []);
});

test("a question is asked again where its answer is lost, and refused at once without a connection", async (t) => {
  const unknown = says(404, { code: "no_such_transaction", detail: "none" });
  const { client, engine, came } = await start(t, breaks, foreign(502, "bad gateway"), says(200, 5), unknown);
  assert.deepEqual(await client.ask("q"), { type: "done", answer: 5 });
  await assert.rejects(client.ask("q"), { code: "no_such_transaction", retryable: false });
  await assert.rejects(client.ask("?"), { code: "invalid_value" });
  assert.equal(came.length, 4);
  engine.statusNow = { ...engine.statusNow, link: "down" };
  engine.emit("statusChanged");
  await settled();
  await assert.rejects(client.ask("q"), { code: "offline", retryable: true });
  const ended = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client.ask("q", {}, { signal: ended }), { message: "enough" });
  assert.equal(came.length, 4);
});

/** Compiled and never run: a transaction is none of the things that are queued or go over the socket. */
export async function typed(client: Client<{ cards: "fieldLevel" }>, operation: Operation) {
  const paid: Promise<TransactionOutcome<{ balance: number }>> = client.transaction("pay", {});
  const outcome = await paid;
  // @ts-expect-error a transaction is no event, to be published
  await client.topic("t").publish(paid);
  // @ts-expect-error nor is its outcome
  await client.topic("t").publish(outcome);
  // @ts-expect-error nor with something added
  await client.topic("t").publish({ ...outcome, subject: "ada" });
  // @ts-expect-error nor in the place of one that was refused
  await client.topic("t").republish(operation, outcome);
  // @ts-expect-error an event is not sent after one
  await client.topic("t").publish({ type: "t" }, { after: paid });
  // @ts-expect-error nor after its outcome
  await client.topic("t").publish({ type: "t" }, { after: outcome });
  // @ts-expect-error a transaction waits for no operation, as what is queued does
  await client.transaction("pay", {}, { after: operation });
  // @ts-expect-error it takes no other's place in a queue
  await client.transaction("pay", {}, { coalesce: "key" });
  // @ts-expect-error it is no operation, with a state to follow
  outcome.state;
  // @ts-expect-error it cannot be tried again by the outbox
  await client.operation(1).republish(paid);
  // @ts-expect-error only what is done has an answer
  return outcome.answer.balance;
}
