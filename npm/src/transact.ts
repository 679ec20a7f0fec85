import { RealtimeError } from "./errors.js";
import { write } from "./intents.js";
import { randomName } from "./random.js";
import type { TransactionOptions, TransactionOutcome } from "./transactions.js";
import { orAborted } from "./waiting.js";

/** An answer of the server's. */
interface Answer {
  code?: unknown;
  detail?: unknown;
  error?: { code: string; message: string };
}

/**
 * Has a critical transaction done by one request, which is repeated with its key where an answer gets lost. It goes past the
 * engine and its outbox, and past the leading tab: there is nothing to store, and every tab may.
 */
export async function transact<T>(
  server: string,
  token: () => Promise<string>,
  reachable: boolean,
  name: string,
  body: unknown,
  { idempotencyKey: key = randomName(), timeout = 30_000, signal }: TransactionOptions = {},
): Promise<TransactionOutcome<T>> {
  signal?.throwIfAborted();
  const text = write(body);
  if (!/^[a-z\d][\w.-]{0,63}$/.test(name) || !/^[ -~]{1,128}$/.test(key)) {
    throw new RealtimeError("invalid_value", "not the name and key of a transaction");
  }
  // For printable ASCII, the strings of structured fields are those of JSON.
  const field = JSON.stringify(key);
  // Of a server that is within reach it is so only if there is no token.
  let problem = new RealtimeError(reachable ? "unauthenticated" : "offline", "nothing was sent");
  /** Whether an attempt may have been taken without an answer: then nothing but a decision tells what became of it. */
  let lost = false;
  /** Milliseconds to wait at least before another attempt; none if that would be in vain. */
  let again: number | undefined = reachable ? 0 : undefined;

  const attempt = async (): Promise<TransactionOutcome<T> | undefined> => {
    again = undefined;
    const authorization = `Bearer ${await token()}`;
    const before = lost;
    lost = true;
    again = 0;
    const response = await fetch(`${server.replace(/\/+$/, "")}/v1/transactions/${name}`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json", "idempotency-key": field },
      body: text,
      credentials: "omit",
      redirect: "error",
    });
    const { status, headers } = response;
    const said = (await response.json()) as Answer;
    // A decision names its key: somebody between us and the server may answer with something of their own.
    if (headers.get("idempotency-key") === field) {
      const replayed = headers.has("idempotent-replayed");
      if (status === 200) {
        return { type: "done", answer: said as T, replayed };
      }
      if (said.error) {
        return { ...said.error, type: "refused", replayed };
      }
    }
    if (typeof said.code === "string") {
      lost = before;
      const retryable = status > 428 || status === 401 || status === 408;
      problem = new RealtimeError(said.code, String(said.detail), { retryable });
      // What has failed for another reason is likely to fail again.
      again = status === 429 || status === 503 ? 1_000 * Number(headers.get("retry-after")) || 0 : undefined;
    }
    return undefined;
  };

  const time = AbortSignal.timeout(timeout);
  const bounded = <R>(promise: Promise<R>) => orAborted(orAborted(promise, signal), time);
  try {
    for (let wait = 250; again !== undefined; wait *= 2) {
      const outcome = await bounded(attempt().catch(() => undefined));
      if (outcome) {
        return outcome;
      }
      // Not at all, if there is no other attempt.
      const pause = (again ?? NaN) + Math.random() * wait;
      await bounded(new Promise((resolve) => setTimeout(resolve, pause)));
    }
  } catch {
    // The time is over, or the caller has had enough.
    signal?.throwIfAborted();
  }
  const unknown = "no answer; it may have happened, and its key tells";
  const error = lost ? new RealtimeError("outcome_unknown", unknown, { retryable: true }) : problem;
  throw Object.assign(error, { idempotencyKey: key });
}
