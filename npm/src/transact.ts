import { RealtimeError } from "./errors.js";
import { write } from "./intents.js";
import { randomName } from "./random.js";
import type { Sender } from "./seam.js";
import type { AskOptions, QueryAnswer, TransactionOptions, TransactionOutcome } from "./transactions.js";
import { orAborted } from "./waiting.js";

/** An answer of the server's. */
interface Answer {
  code?: unknown;
  detail?: unknown;
  error?: { code: string; message: string };
}

/** The trace that the page is in, if it is one that may be sent. */
function trace({ traceparent }: Sender): string | undefined {
  try {
    const parent = traceparent?.();
    return /^[\da-f-]{55}$/.test(String(parent)) ? parent : undefined;
  } catch {
    return undefined;
  }
}

/** Where and as whom. */
interface Caller {
  server: string;
  token: Sender;
  reachable: boolean;
}

/** What was decided. An object of the application's that looks like an event is one; this is none, whatever it looks like. */
export const outcomes: WeakSet<object> = new WeakSet();

/**
 * Has a critical transaction done by one request, which is repeated with its key where an answer gets lost. It goes past the
 * engine and its outbox, and past the leading tab: there is nothing to store, and every tab may.
 */
export async function transact<T>(
  caller: Caller,
  name: string,
  body: unknown,
  { idempotencyKey: key = randomName(), ...options }: TransactionOptions = {},
): Promise<TransactionOutcome<T>> {
  options.signal?.throwIfAborted();
  const text = write(body);
  if (!/^[ -~]{1,128}$/.test(key)) {
    throw new RealtimeError("invalid_value", "not the key of a transaction");
  }
  try {
    // For printable ASCII, the strings of structured fields are those of JSON.
    const outcome = await request(caller, name, text, options, JSON.stringify(key));
    outcomes.add(outcome);
    return outcome as TransactionOutcome<T>;
  } catch (error) {
    throw error instanceof RealtimeError ? Object.assign(error, { idempotencyKey: key }) : error;
  }
}

/** Asks a question, which changes nothing: as often as it takes. */
export async function ask<T>(
  caller: Caller,
  name: string,
  parameters: Readonly<Record<string, string | number | boolean>> = {},
  options: AskOptions = {},
): Promise<QueryAnswer<T>> {
  options.signal?.throwIfAborted();
  const texts = Object.entries(parameters).map(([name, value]) => [name, String(value)]);
  return (await request(caller, `${name}?${new URLSearchParams(texts)}`, null, options)) as QueryAnswer<T>;
}

/** One request, repeated where an answer gets lost. With `field`, the header of a key, only what names it is a decision. */
async function request(
  { server, token, reachable }: Caller,
  target: string,
  body: string | null,
  { timeout = 30_000, signal }: AskOptions,
  field?: string,
): Promise<object> {
  if (!/^[a-z\d][\w.-]{0,63}(\?|$)/.test(target)) {
    throw new RealtimeError("invalid_value", "not the name of a transaction");
  }
  // Of a server that is within reach it is so only if there is no token.
  let problem = new RealtimeError(reachable ? "unauthenticated" : "offline", "nothing was sent");
  /** Whether an attempt may have been taken without an answer: then nothing but a decision tells what became of it. */
  let lost = false;
  /** Milliseconds to wait at least before another attempt; none if that would be in vain. */
  let again: number | undefined = reachable ? 0 : undefined;

  const attempt = async (): Promise<object | undefined> => {
    again = undefined;
    const authorization = `Bearer ${await token()}`;
    const before = lost;
    lost = true;
    again = 0;
    const traceparent = trace(token);
    const traced = traceparent ? { authorization, traceparent } : { authorization };
    const response = await fetch(`${server.replace(/\/+$/, "")}/v1/transactions/${target}`, {
      ...(field
        ? {
            method: "POST",
            headers: { ...traced, "content-type": "application/json", "idempotency-key": field },
            body,
          }
        : { headers: traced, cache: "no-store" }),
      credentials: "omit",
      redirect: "error",
    });
    const { status, headers } = response;
    const said = (await response.json()) as Answer;
    // A decision names its key: somebody between us and the server may answer with something of their own.
    if (!field || headers.get("idempotency-key") === field) {
      const replayed = field && { replayed: headers.has("idempotent-replayed") };
      if (status === 200) {
        return { type: "done", answer: said, ...replayed };
      }
      if (said.error) {
        return { ...said.error, type: "refused", ...replayed };
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
  if (lost) {
    throw field
      ? new RealtimeError("outcome_unknown", "no answer; it may have happened, and its key tells", {
          retryable: true,
        })
      : new RealtimeError("offline", "no answer came");
  }
  throw problem;
}
