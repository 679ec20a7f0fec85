import type { Page } from "./browser.js";
import { type Key, Range, Records } from "./records.js";
import type { World } from "./world.js";

/** What a transaction comes to: it commits, fails with an error of this name, or commits and says that it failed. */
export type Commit = "commits" | "lies" | { fails: string };

interface Stored {
  version: number;
  stores: Map<string, Records>;
  connections: Set<Connection>;
  /** Whose transaction is under way and cannot end. */
  blocker: Page | undefined;
  /** That transaction, and those that come after it. */
  blocked: (() => void)[];
}

/** What a transaction asks of one object store. */
export interface Asked {
  store: string;
  method: string;
  key: Key | Range | undefined;
  value?: unknown;
}

interface Asking extends Asked {
  request: { result: unknown };
  count?: number | undefined;
}

type Handler = ((event: { type: string; oldVersion?: number }) => void) | null;

/**
 * The IndexedDB of the origin, as far as the engine and the tabs use it: each transaction asks for everything when it is
 * created and is done as one, in the order of creation. The page hears of it as a task. One that writes and is committed
 * explicitly, or that reads, is done whether or not its page still runs; another one that writes ends when its page does
 * something, and all that come after it wait until then.
 */
export class Storage {
  readonly #world: World;
  readonly #databases = new Map<string, Stored>();
  readonly ranges = Range;

  constructor(world: World) {
    this.#world = world;
  }

  /** `indexedDB` of a page. */
  of(page: Page) {
    return {
      open: (name: string, version?: number) => this.#open(page, name, version),
      deleteDatabase: (name: string) => this.#delete(page, name),
    };
  }

  /** A page is no more: its connections are closed, and what it could not end is over. */
  forget(page: Page): void {
    for (const { connections } of this.#databases.values()) {
      for (const connection of connections) {
        if (connection.page === page) {
          connection.close();
        }
      }
    }
    this.goOn(page);
  }

  /** A page does something again, or never will: what it has begun is ended. */
  goOn(page: Page): void {
    for (const stored of this.#databases.values()) {
      if (stored.blocker === page) {
        stored.blocker = undefined;
        const blocked = stored.blocked;
        stored.blocked = [];
        blocked.forEach((run) => run());
      }
    }
  }

  /** The browser takes the connections of a page away. */
  closeBy(page: Page): void {
    for (const { connections } of this.#databases.values()) {
      for (const connection of connections) {
        if (connection.page === page) {
          connection.close();
          page.task(this.#delay(), () => connection.onclose?.({ type: "close" }));
        }
      }
    }
  }

  /** What an object store holds. */
  content(database: string, store: string): [Key, unknown][] {
    return this.#databases.get(database)?.stores.get(store)?.entries() ?? [];
  }

  #open(page: Page, name: string, version?: number) {
    const request = openRequest();
    this.#ask(name, () => {
      page.perform(() => {
        const stored = this.#databases.get(name) ?? newDatabase();
        const wanted = version ?? Math.max(1, stored.version);
        if (wanted < stored.version) {
          request.fail("VersionError");
          return;
        }
        const connection = this.#connection(page, name, stored);
        if (wanted > stored.version) {
          let aborted = false;
          request.result = connection;
          request.transaction = { abort: () => (aborted = true) };
          request.onupgradeneeded?.({ type: "upgradeneeded", oldVersion: stored.version });
          request.transaction = null;
          if (aborted) {
            request.result = undefined;
            request.fail("AbortError");
            return;
          }
          stored.version = wanted;
          this.#databases.set(name, stored);
        }
        stored.connections.add(connection);
        this.#tell(page, () => {
          request.result = connection;
          request.onsuccess?.({ type: "success" });
        });
      });
    });
    return request;
  }

  #delete(page: Page, name: string) {
    const request = openRequest();
    this.#ask(name, () => {
      const stored = this.#databases.get(name);
      stored?.connections.forEach((other) =>
        other.page.task(0, () => other.onversionchange?.({ type: "versionchange" })),
      );
      page.task(this.#delay(), () => {
        if (stored && stored.connections.size > 0) {
          request.onblocked?.({ type: "blocked" });
          return;
        }
        this.#databases.delete(name);
        request.onsuccess?.({ type: "success" });
      });
    });
    return request;
  }

  #connection(page: Page, name: string, stored: Stored): Connection {
    const connection: Connection = {
      page,
      onclose: null,
      onversionchange: null,
      objectStoreNames: { contains: (store) => stored.stores.has(store) },
      createObjectStore: (store) => void stored.stores.set(store, new Records()),
      close: () => void stored.connections.delete(connection),
      transaction: (_, mode) => {
        if (!stored.connections.has(connection)) {
          throw new DOMException("the connection is closed", "InvalidStateError");
        }
        return this.#transaction(page, name, stored, mode === "readwrite");
      },
    };
    return connection;
  }

  #transaction(page: Page, name: string, stored: Stored, writes: boolean): Transaction {
    const asked: Asking[] = [];
    let ends = !writes;
    const transaction: Transaction = {
      error: null,
      oncomplete: null,
      onabort: null,
      abort: () => asked.splice(0),
      commit: () => void (ends = true),
      objectStore: (store) => {
        if (!stored.stores.has(store)) {
          throw new DOMException(store, "NotFoundError");
        }
        const ask = (method: string, key?: Key | Range, value?: unknown, count?: number) => {
          const request = { result: undefined };
          asked.push({ store, method, key, value, count, request });
          return request;
        };
        return {
          get: (key) => ask("get", key),
          getAll: (range, count) => ask("getAll", range, undefined, count),
          getAllKeys: (range, count) => ask("getAllKeys", range, undefined, count),
          put: (value, key) => ask("put", key, value),
          add: (value, key) => ask("add", key, value),
          delete: (key) => ask("delete", key),
          clear: () => ask("clear"),
        };
      },
    };
    const run = () => {
      if (!stored.blocker && !ends && page.frozen && !page.dead) {
        stored.blocker = page;
        this.#world.trace(`${page.name} is frozen in mid-transaction`);
      }
      if (stored.blocker) {
        stored.blocked.push(run);
        return;
      }
      const error = this.#perform(page, name, stored, asked, writes);
      this.#tell(page, () => {
        if (error === undefined) {
          transaction.oncomplete?.({ type: "complete" });
        } else {
          transaction.error = new DOMException(error, error);
          transaction.onabort?.({ type: "abort" });
        }
      });
    };
    this.#ask(name, run);
    return transaction;
  }

  /** Does all of it or nothing; the name of the error. */
  #perform(
    page: Page,
    name: string,
    stored: Stored,
    asked: readonly Asking[],
    writes: boolean,
  ): string | undefined {
    // A page that dies in mid-transaction may have had it committed or not.
    const commit: Commit =
      page.dead && this.#world.random.chance(0.5)
        ? { fails: "AbortError" }
        : this.#world.faults.commit(page, name, writes);
    if (typeof commit === "object") {
      return commit.fails;
    }
    const before = new Map<string, Records>();
    for (const { store, method, key, value, count, request } of asked) {
      const records = stored.stores.get(store) as Records;
      if (writes && !before.has(store)) {
        before.set(store, records.copy());
      }
      const done = records.perform(method, key, value, count);
      if (done === "exists") {
        before.forEach((copy, changed) => stored.stores.set(changed, copy));
        return "ConstraintError";
      }
      request.result = done.result;
    }
    if (writes) {
      this.#world.detail(() => `${page.name} commits to ${name} ${told(asked)}`);
      this.#world.committed(page, name, asked);
    }
    return commit === "lies" ? "AbortError" : undefined;
  }

  #ask(database: string, perform: () => void): void {
    this.#world.agenda.inOrder(database, this.#delay(), perform);
  }

  #tell(page: Page, run: () => void): void {
    this.#world.agenda.inOrder(`${page.name}<storage`, this.#delay(), () => page.perform(run));
  }

  #delay(): number {
    const { random } = this.#world;
    return random.latency(random.chance(0.02) ? 1_000 : 15);
  }
}

function newDatabase(): Stored {
  return { version: 0, stores: new Map(), connections: new Set(), blocker: undefined, blocked: [] };
}

function told(asked: readonly Asked[]): string {
  const changes = asked.filter(({ store }) => store !== "fence");
  return JSON.stringify(changes.map(({ store, method, key, value }) => [method, store, key, value]));
}

interface Connection {
  readonly page: Page;
  onclose: Handler;
  onversionchange: Handler;
  readonly objectStoreNames: { contains(store: string): boolean };
  createObjectStore(store: string): void;
  close(): void;
  transaction(stores: unknown, mode?: string): Transaction;
}

interface Transaction {
  error: DOMException | null;
  oncomplete: Handler;
  onabort: Handler;
  abort(): void;
  commit(): void;
  objectStore(store: string): ObjectStore;
}

interface ObjectStore {
  get(key: Key): unknown;
  getAll(range?: Range, count?: number): unknown;
  getAllKeys(range?: Range, count?: number): unknown;
  put(value: unknown, key: Key): unknown;
  add(value: unknown, key: Key): unknown;
  delete(key: Key | Range): unknown;
  clear(): unknown;
}

function openRequest() {
  return {
    result: undefined as unknown,
    error: null as DOMException | null,
    transaction: null as { abort(): void } | null,
    onsuccess: null as Handler,
    onerror: null as Handler,
    onblocked: null as Handler,
    onupgradeneeded: null as Handler,
    fail(name: string) {
      this.error = new DOMException(name, name);
      this.onerror?.({ type: "error" });
    },
  };
}
