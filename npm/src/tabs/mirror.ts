import { type Arguments, OF_QUERY, READS, movedOn, showsDocuments } from "../calls.js";
import type { WireStatus } from "../seam.js";
import { listed } from "./held.js";
import { isLoaded } from "./shown.js";

/**
 * What the engine, wherever it is, said last. It stands in while there is none to ask, and what was shown stays until
 * there is something newer to show.
 */
export class Mirror {
  /** The answers to calls without arguments. */
  state: Record<string, string> = {};
  readonly #views = new Map<number, string>();
  /** Open live queries, by their names here. */
  readonly #queries = new Map<number, Arguments>();

  /** Whether the application allowed the network, as far as that is known. */
  get network(): boolean | undefined {
    return this.#status.network;
  }

  set network(network: boolean) {
    this.state["status"] = JSON.stringify({ ...this.#status, network });
  }

  /** Whether what is shown is of a store that outlives the page. */
  get durable(): boolean {
    return this.#status.durable === true;
  }

  get #status(): Partial<WireStatus> {
    return JSON.parse(this.state["status"] ?? "{}") as Partial<WireStatus>;
  }

  /** The open live queries, as they were opened; readers of topics from where they are now. */
  get queries(): Arguments[] {
    return [...this.#queries.values()];
  }

  /** What those of documents are called here, which show edits. */
  get names(): Iterable<number> {
    const ofDocuments = [...this.#queries].filter(([, args]) => showsDocuments(args));
    return ofDocuments.map(([name]) => name);
  }

  /** Follows which live queries are open. */
  note(method: string, args: Arguments): void {
    if (method === "openQuery") {
      this.#queries.set(args[0] as number, args);
    } else if (OF_QUERY.has(method)) {
      const query = this.#queries.get(args[0] as number);
      if (query) {
        this.#queries.set(args[0] as number, movedOn(query, method, args[1]));
      }
    } else if (method === "closeQuery") {
      this.#queries.delete(args[0] as number);
      this.#views.delete(args[0] as number);
    }
  }

  /** Whether this is a call that can be answered from here. */
  answers(method: string, args: Arguments): boolean {
    return method === "view" || (args.length === 0 && (method in READS || method in this.state));
  }

  answer(method: string, args: Arguments): string | undefined {
    if (method === "view") {
      return this.#views.get(args[0] as number);
    }
    return method === "unsettled"
      ? listed(this.state[method] ?? "[]")
      : (this.state[method] ?? READS[method]);
  }

  /** What a live query shows, of what an engine has just said and what was shown before. */
  newest(query: number, text: string | undefined): string | undefined {
    const before = this.#views.get(query);
    // An engine that was just opened has to read first.
    return text === undefined || (before !== undefined && !isLoaded(text)) ? before : text;
  }

  /** Keeps what a live query shows; false if it is not open any more. */
  keep(query: number, text: string | undefined): boolean {
    if (text !== undefined && this.#queries.has(query)) {
      this.#views.set(query, this.newest(query, text) ?? text);
    }
    return this.#queries.has(query);
  }

  /** The engine is at hand, and has read. */
  drop(query: number): void {
    this.#views.delete(query);
  }
}
