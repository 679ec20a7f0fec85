/** A group of workers, as the server tells of it. */
export interface Group {
  readonly group: string;
  readonly topic: string;
  readonly outstanding: number;
  readonly leased: number;
  readonly halted: number;
  readonly lost: number;
  readonly dead_letters: number;
}

/** One time that a worker tried. */
export interface Attempt {
  readonly at: number;
  readonly worker: string;
  readonly error: string;
}

/** Where dead letters are: those of a group of workers, or those of clients, who were refused an edit or an event. */
export interface Source {
  readonly title: string;
  readonly path: string;
}

/** What clients were refused. */
export const CLIENTS: Source = { title: "Clients", path: "/v1/dead" };

export function ofGroup({ group }: Group): Source {
  return { title: `Group ${group}`, path: `/v1/groups/${encodeURIComponent(group)}/dead` };
}

/** An event that could not be worked on, or what a client was refused. */
export interface Letter {
  readonly id: string;
  /** Of a group's. */
  readonly position?: string;
  /** Of a client's: who had it, and where it was to go. */
  readonly subject?: string;
  readonly topic?: string;
  readonly collection?: string;
  readonly document?: string;
  readonly since: number;
  readonly content_type: string;
  readonly reason: string | null;
  readonly attempts: readonly Attempt[];
  readonly edited: boolean;
  readonly retrying: boolean;
}

/** With what is in it: an event, or the operation of an edit; `base64` where that is no JSON. */
export interface WholeLetter extends Letter {
  readonly event?: unknown;
  readonly operation?: unknown;
  readonly base64?: string;
}

/** What became of a letter that something was asked for. */
export interface Fate {
  readonly id: string;
  readonly state: "edited" | "retrying" | "applied" | "refused" | "discarded" | "gone";
}

/** Letters that one request may name. */
const MAX_NAMED = 1_000;

/** The part of the server's API that an operator needs. Each call rejects with the words of the server. */
export class Operations {
  readonly #token: () => Promise<string>;

  constructor(token: () => Promise<string>) {
    this.#token = token;
  }

  async groups(): Promise<Group[]> {
    return this.#all<"groups", Group>("/v1/groups", "groups");
  }

  async letters({ path }: Source): Promise<Letter[]> {
    return this.#all<"letters", Letter>(path, "letters");
  }

  letter({ path }: Source, id: string): Promise<WholeLetter> {
    return this.#ask<WholeLetter>("GET", `${path}/${encodeURIComponent(id)}`);
  }

  /** Puts another event, or another operation, in place of a letter's, which is text of JSON. */
  async edit({ path }: Source, letter: Letter, text: string): Promise<void> {
    await this.#ask("PUT", `${path}/${encodeURIComponent(letter.id)}`, text, letter.content_type);
  }

  /** Has letters tried once more, or discards them. */
  async settle({ path }: Source, verb: "retry" | "discard", ids: readonly string[]): Promise<Fate[]> {
    const fates: Fate[] = [];
    for (let from = 0; from < ids.length; from += MAX_NAMED) {
      const letters = ids.slice(from, from + MAX_NAMED);
      const answer = await this.#ask<{ letters: Fate[] }>(
        "POST",
        `${path}/${verb}`,
        JSON.stringify({ letters }),
      );
      fates.push(...answer.letters);
    }
    return fates;
  }

  /** Every piece of a list. */
  async #all<K extends string, T>(path: string, key: K): Promise<T[]> {
    const all: T[] = [];
    let after: string | null = "";
    while (after !== null) {
      const query: string = after && `&after=${encodeURIComponent(after)}`;
      const piece: Record<K, T[]> & { next: string | null } = await this.#ask(
        "GET",
        `${path}?limit=1000${query}`,
      );
      all.push(...piece[key]);
      after = piece.next;
    }
    return all;
  }

  async #ask<T>(method: string, path: string, body?: string, type = "application/json"): Promise<T> {
    const response = await fetch(path, {
      method,
      headers: {
        authorization: `Bearer ${await this.#token()}`,
        ...(body !== undefined && { "content-type": type }),
      },
      ...(body !== undefined && { body }),
    });
    const answer: unknown = await response.json();
    if (!response.ok)
      throw new Error((answer as { detail?: string }).detail ?? `answered ${response.status}`);
    return answer as T;
  }
}
