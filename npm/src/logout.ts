import { RealtimeError } from "./errors.js";
import type { Engine } from "./seam.js";
import { forgetClient } from "./storage.js";
import { BROWSER, type Host } from "./tabs/host.js";
import { sealed } from "./tabs/sealed.js";
import type { Client, Encryption, LogoutOptions, LogoutResult } from "./types.js";

/** Milliseconds that operations are given to reach the server, where the caller gives no signal. */
const PATIENCE = 10_000;
/** Milliseconds that other tabs are given to let go of something before it is taken from them. */
const LET_GO = 2_000;

/** The storage of a client. */
export interface Store {
  readonly name: string;
  readonly encryption: Encryption | undefined;
  /** Opens the engine of this tab alone. */
  reopen(encryption: Encryption | undefined): Promise<Engine>;
}

/** The client that ends. */
export interface Leaving extends Store {
  readonly client: Client;
  /** Ends it in every tab. */
  end(): Promise<void>;
}

/** Ends a client for the person who used it. */
export async function logout(
  leaving: Leaving,
  { policy, encryption = leaving.encryption, signal }: LogoutOptions,
  host: Host = BROWSER,
): Promise<LogoutResult> {
  if (policy === "park" && !encryption) {
    throw new RealtimeError("invalid_options", "to park operations takes a key to encrypt them with");
  }
  if (policy === "block") {
    await allSettled(leaving.client, signal ?? AbortSignal.timeout(PATIENCE));
  }
  const open = unsettled(leaving.client);
  const { durable } = leaving.client.status;
  await leaving.end();
  if (!durable) {
    // Nothing was kept beyond this tab.
    return { parked: 0, lost: open };
  }
  await withLock(host.locks, `webwaka:${leaving.name}`, async () => {
    const [outbox, replica] = ["outbox", "replica"].map((part) => `webwaka:${leaving.name}:${part}`);
    if (policy === "park") {
      await seal(leaving, encryption, host);
    } else {
      await erase(outbox as string);
      forgetClient(leaving.name);
    }
    await erase(replica as string);
  });
  return policy === "park" ? { parked: open, lost: 0 } : { parked: 0, lost: open };
}

/** Operations that the server has not settled, or that wait for somebody. */
function unsettled({ status: { pending, rejected } }: Client): number {
  // What is in conflict is pending, too.
  return pending + rejected;
}

async function allSettled(client: Client, signal: AbortSignal): Promise<void> {
  client.wake();
  try {
    for await (const _ of client.statuses({ signal })) {
      if (unsettled(client) === 0) {
        return;
      }
    }
  } catch (cause) {
    const message = "operations wait for the server, or for somebody to decide; nobody was logged out";
    throw new RealtimeError("unsynced", message, { cause });
  }
}

/** Works while no tab leads. One that is asleep is not waited for: the store takes nothing more from it. */
async function withLock(
  locks: LockManager | undefined,
  name: string,
  work: () => Promise<void>,
): Promise<void> {
  if (!locks) {
    return work();
  }
  const patience = AbortSignal.timeout(LET_GO);
  let begun = false;
  const begin = () => {
    begun = true;
    return work();
  };
  try {
    await locks.request(name, { signal: patience }, begin);
  } catch (error) {
    if (begun || !patience.aborted) {
      throw error;
    }
    await locks.request(name, { steal: true }, begin);
  }
}

/** Encrypts the operations, by opening them with the key; and what tabs have left for an engine to adopt. */
async function seal({ name, reopen }: Store, encryption: Encryption | undefined, host: Host): Promise<void> {
  const engine = await reopen(encryption);
  engine.setNetwork(false);
  await engine.stop();
  engine.free();
  const submissions = sealed(await host.submissions(name), encryption);
  try {
    const left = [...(await submissions.all())].flatMap(([key, held]) =>
      typeof held === "string" ? [[key, held] as const] : [],
    );
    if (left.length > 0) {
      await submissions.put(left);
    }
  } finally {
    submissions.close();
  }
}

/** Empties a database, which nobody can prevent, and deletes it if nobody keeps it open. */
async function erase(name: string): Promise<void> {
  const database = await result(indexedDB.open(name));
  const stores = [...database.objectStoreNames];
  if (stores.length > 0) {
    const transaction = database.transaction(stores, "readwrite", { durability: "strict" });
    stores.forEach((store) => transaction.objectStore(store).clear());
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error as DOMException);
    });
  }
  database.close();
  const deleted = result(indexedDB.deleteDatabase(name)).catch(() => undefined);
  await Promise.race([deleted, new Promise((resolve) => setTimeout(resolve, LET_GO))]);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error as DOMException);
  });
}
