import { commit } from "../commit.js";
import { RealtimeError } from "../errors.js";

/** What rests under a key: the submission, or the number of the operation that it became. */
export type Held = string | number;

/** The submissions that tabs have left in the outbox's database until a leader adopts them. */
export interface Submissions {
  /** Resolves when they are durable; rejects if none of them was kept. */
  put(submissions: readonly (readonly [key: string, text: string])[]): Promise<void>;
  /** All there are, by key. */
  all(): Promise<Map<string, Held>>;
  /** Removes those of these keys, and tells what was there. */
  remove(keys: readonly string[]): Promise<(Held | undefined)[]>;
  close(): void;
}

const STORE = "submissions";

/** Opens the submissions of the client `name`, whose database the engine makes; rejects where it has not. */
export async function openSubmissions(name: string): Promise<Submissions> {
  const stored = new StoredSubmissions(`webwaka:${name}:outbox`);
  await stored.open();
  return stored;
}

class StoredSubmissions implements Submissions {
  readonly #name: string;
  #database: Promise<IDBDatabase> | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  async open(): Promise<void> {
    await (this.#database ??= this.#connect()).catch((error: unknown) => Promise.reject(failed(error)));
  }

  async put(submissions: readonly (readonly [string, string])[]): Promise<void> {
    await this.#run("readwrite", (store) => submissions.map(([key, text]) => store.put(text, key)));
  }

  async all(): Promise<Map<string, Held>> {
    const [keys, values] = await this.#run("readonly", (store) => [store.getAllKeys(), store.getAll()]);
    return new Map((keys as string[]).map((key, index) => [key, (values as Held[])[index] as Held]));
  }

  async remove(keys: readonly string[]): Promise<(Held | undefined)[]> {
    const results = await this.#run("readwrite", (store) => [
      ...keys.map((key) => store.get(key)),
      ...keys.map((key) => store.delete(key)),
    ]);
    return results.slice(0, keys.length) as (Held | undefined)[];
  }

  close(): void {
    void this.#database?.then(
      (database) => database.close(),
      () => undefined,
    );
    this.#database = undefined;
  }

  /** One strict transaction. What was on a connection that the browser closed is done once more on a new one. */
  async #run(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest[]): Promise<unknown[]> {
    try {
      return await this.#attempt(mode, ask);
    } catch (error) {
      if (!/^(InvalidState|Abort|Unknown|TransactionInactive)Error$/.test((error as Error)?.name)) {
        throw failed(error);
      }
      this.close();
      return this.#attempt(mode, ask).catch((error: unknown) => Promise.reject(failed(error)));
    }
  }

  async #attempt(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest[]): Promise<unknown[]> {
    const database = await (this.#database ??= this.#connect());
    const transaction = database.transaction(STORE, mode, { durability: "strict" });
    const requests = ask(transaction.objectStore(STORE));
    if (mode === "readwrite") {
      commit(transaction);
    }
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
    });
    return requests.map(({ result }) => result as unknown);
  }

  async #connect(): Promise<IDBDatabase> {
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(this.#name);
      // Not there: the engine makes it, with all that belongs in it.
      request.onupgradeneeded = () => request.transaction?.abort();
      request.onsuccess = () => {
        const { result } = request;
        if (result.objectStoreNames.contains(STORE)) {
          resolve(result);
        } else {
          // From before there were submissions: the engine adds what is missing.
          result.close();
          reject(new DOMException("there are no submissions", "NotFoundError"));
        }
      };
      request.onerror = () => reject(request.error as DOMException);
    });
    database.onversionchange = database.onclose = () => this.close();
    return database;
  }
}

function failed(cause: unknown): RealtimeError {
  const full = (cause as Error)?.name === "QuotaExceededError";
  const message = "the operation could not be saved on this device";
  return new RealtimeError(full ? "storage_full" : "not_durable", message, { cause });
}
