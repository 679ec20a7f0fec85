import type { Engine } from "./seam.js";

/** What is known of the engine's methods by those who stand between it and the page, and else only pass calls on. */

/** Calls whose first argument is a ticket, which an event answers. */
export const TICKETED: ReadonlySet<string> = new Set(["submit", "edit", "retry", "abort", "resolve"]);

/** Calls without arguments whose last answer stands in while there is no engine to ask. */
export const READS: Readonly<Record<string, string>> = {
  status: "{}",
  rejected: "[]",
  conflicts: "[]",
  clientId: "",
};

export type Arguments = readonly unknown[];

/** Whether a call opens a reader of a topic, and not a live query. */
export function readsTopic([, query]: Arguments): boolean {
  return (query as string).startsWith('{"topic"');
}

/** The call that opens a reader of a topic, as it is to be made once that has come to a position. */
export function movedOn([name, query]: Arguments, position: unknown): Arguments {
  const { topic } = JSON.parse(query as string) as { topic: object };
  return [name, JSON.stringify({ topic: { ...topic, start: { after: position } } })];
}
export type AnyEngine = Record<string, (...args: unknown[]) => unknown>;

/**
 * An engine all of whose methods are this one function. They are not listed here: to whoever stands between, few of
 * them matter.
 */
export function engineOf(call: (method: string, args: Arguments) => unknown): Engine {
  return new Proxy({} as Engine, {
    // A promise that resolves with this asks whether it is a promise, too.
    get: (_, method) =>
      typeof method === "string" && method !== "then"
        ? (...args: unknown[]) => call(method, args)
        : undefined,
  });
}
