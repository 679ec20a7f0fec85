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

/** Calls whose first argument is a query. */
export const OF_QUERY: ReadonlySet<string> = new Set(["taken", "present"]);

/** Whether a call opens a live query of documents, and not a reader of a topic or a room. */
export function showsDocuments([, query]: Arguments): boolean {
  return !/^\{"(topic|room)"/.test(query as string);
}

/**
 * The call that opens a query, as it is to be made once this was called: a reader of a topic has come to a position,
 * somebody is in a room in another state.
 */
export function movedOn([name, query]: Arguments, method: string, value: unknown): Arguments {
  const { topic, room } = JSON.parse(query as string) as { topic?: object; room?: object };
  if (topic) {
    return [name, JSON.stringify({ topic: { ...topic, start: { after: value } } })];
  }
  const state = method === "present" ? { state: value && (JSON.parse(value as string) as unknown) } : {};
  return [name, JSON.stringify({ room: { ...room, ...state } })];
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
