import { Bridge } from "./bridge.js";
import { BoundCollection } from "./collection.js";
import { RealtimeError, realtimeError } from "./errors.js";
import { storageIncident } from "./incident.js";
import { LatestIterator } from "./latest.js";
import { logout, type Store } from "./logout.js";
import { engineOptions, tokenSource } from "./options.js";
import { conflict, resolution, rules, strategyOf } from "./rules.js";
import type { OpenEngine, Sender } from "./seam.js";
import type { Intent } from "./schema.js";
import { share } from "./snapshot.js";
import { DeviceStorage, noteClient } from "./storage.js";
import { BoundRoom, BoundUser, direct } from "./room.js";
import { asyncDispose } from "./symbols.js";
import { BoundTopic } from "./topic.js";
import { ask, transact } from "./transact.js";
import type {
  AskOptions,
  Client,
  ClientOptions,
  Collection,
  Collections,
  JsonFields,
  LogoutOptions,
  LogoutResult,
  Message,
  OpenConflict,
  Operation,
  QueryAnswer,
  RejectedEvent,
  RejectedOperation,
  Room,
  RoomOptions,
  Status,
  Strategy,
  Topic,
  TransactionOptions,
  TransactionOutcome,
  User,
  Waiting,
} from "./types.js";

/** Starts a client on an engine. With `alone` an engine is opened that no other tab has a part in, to log out. */
export async function openClient<const C extends Collections>(
  open: OpenEngine,
  options: ClientOptions<C>,
  alone: OpenEngine = open,
): Promise<Client<C>> {
  const wire = engineOptions(options);
  const ending = new AbortController();
  const token = tokenSource(options, ending.signal);
  const note = (client: string) => noteClient(wire.name, client, () => bridge.readStatus().durable);
  const bridge: Bridge = new Bridge(wire.schema, options.onIncident, note);
  try {
    bridge.attach(
      await open(
        JSON.stringify(wire),
        token,
        bridge.receive,
        options.encryption,
        rules(options.collections, options.migrations),
      ),
    );
  } catch (error) {
    ending.abort();
    throw realtimeError(error);
  }
  const changed = note(bridge.client);
  // Where the earlier client has left records behind, they are told of as damaged.
  if (changed && bridge.readStatus().damaged === 0) {
    bridge.befell(storageIncident("storageWiped"));
  }
  const device = new DeviceStorage(bridge.statusChanged);
  if (options.persist ?? true) {
    device.persist().catch(() => undefined);
  }
  const client = new LocalClient<C>(
    bridge,
    new Map(Object.entries(options.collections).map(([name, each]) => [name, strategyOf(each)])),
    ending,
    device,
    wire.url,
    token,
    {
      name: wire.name,
      encryption: options.encryption,
      // Of no schema: there nothing is older than that, and all operations stay as they are.
      reopen: (encryption) =>
        alone(JSON.stringify({ ...wire, schema: 0 }), token, () => undefined, encryption, undefined),
    },
  );
  if (options.signal?.aborted) {
    await client.close();
    options.signal.throwIfAborted();
  }
  return client;
}

class LocalClient<C extends Collections> implements Client<C> {
  readonly #bridge: Bridge;
  readonly #strategies: ReadonlyMap<string, Strategy>;
  readonly #ending: AbortController;
  readonly #device: DeviceStorage;
  readonly #server: string;
  readonly #token: Sender;
  readonly #store: Store;
  #status: Status | undefined;
  #conflicts: readonly OpenConflict[] | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    bridge: Bridge,
    strategies: ReadonlyMap<string, Strategy>,
    ending: AbortController,
    device: DeviceStorage,
    server: string,
    token: Sender,
    store: Store,
  ) {
    this.#bridge = bridge;
    this.#strategies = strategies;
    this.#ending = ending;
    this.#device = device;
    this.#server = server;
    this.#token = token;
    this.#store = store;
    device.refresh();
    bridge.status.add(() => device.refresh());
  }

  get status(): Status {
    const {
      link,
      network,
      pending,
      rejected,
      conflicts,
      damaged,
      durable,
      caughtUp,
      syncing,
      role,
      problem,
    } = this.#bridge.readStatus();
    const now: Status = {
      link,
      network,
      pending,
      rejected,
      conflicts,
      damaged,
      durable,
      caughtUp,
      ...(syncing && { syncing }),
      ...(this.#device.now && { storage: this.#device.now }),
      role: role ?? "alone",
      ...(problem && { problem: { code: problem.code, message: problem.message } }),
    };
    return (this.#status = share(this.#status, now));
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#bridge.status.add(listener);

  statuses(options?: Waiting): AsyncIterable<Status> {
    const source = {
      subscribe: this.subscribe,
      read: () => this.status,
      ended: () => this.#bridge.closed,
    };
    return { [Symbol.asyncIterator]: () => new LatestIterator(source, options?.signal) };
  }

  collection<T extends JsonFields<T>>(name: keyof C & string): Collection<T> {
    const strategy = this.#strategies.get(name);
    if (strategy === undefined) {
      throw new RealtimeError("unknown_collection", `the client was not created with a collection ${name}`);
    }
    return new BoundCollection<T>(this.#bridge, name, strategy);
  }

  topic<T = unknown>(name: string): Topic<T> {
    return new BoundTopic<T>(this.#bridge, name);
  }

  room<S = unknown, M = unknown>(name: string, options?: RoomOptions): Room<S, M> {
    return new BoundRoom<S, M>(this.#bridge, name, options);
  }

  user(id: string): User {
    return new BoundUser(this.#bridge, id);
  }

  messages<M = unknown>(options?: Waiting): AsyncIterableIterator<Message<M>, undefined> {
    return direct<M>(this.#bridge, options);
  }

  async transaction<T = unknown>(
    name: string,
    body: unknown,
    options?: TransactionOptions,
  ): Promise<TransactionOutcome<T>> {
    return transact<T>(this.#caller(), name, body, options);
  }

  async ask<T = unknown>(
    name: string,
    parameters?: Readonly<Record<string, string | number | boolean>>,
    options?: AskOptions,
  ): Promise<QueryAnswer<T>> {
    return ask<T>(this.#caller(), name, parameters, options);
  }

  /** As whom requests are made that go past the engine. */
  #caller() {
    const { link } = this.#bridge.call(() => this.#bridge.readStatus());
    return { server: this.#server, token: this.#token, reachable: link !== "down" };
  }

  setNetwork(allowed: boolean): void {
    this.#bridge.call((engine) => engine.setNetwork(allowed));
  }

  wake(): void {
    this.#bridge.call((engine) => engine.wake());
  }

  conflicts(): readonly OpenConflict[] {
    const now = this.#bridge.readConflicts().map((wire) => {
      const { seq, mineAt: madeAt, problem } = wire;
      return { ...conflict(wire), seq, madeAt, ...(problem !== undefined && { problem }) };
    });
    return (this.#conflicts = share(this.#conflicts, now));
  }

  async resolve(seq: number, decision: "mine" | "theirs" | object): Promise<Operation> {
    return this.#bridge.resolve(seq, resolution(decision));
  }

  rejected(): readonly RejectedOperation[] {
    const rejected = this.#bridge
      .readRejected()
      .filter((each) => "doc" in each)
      .map(({ seq, doc: [collection, id], intents, schema, reason, at, attempts }) => ({
        seq,
        collection,
        id,
        code: reason.code,
        message: reason.message,
        intents: intents as Intent[],
        schema,
        at,
        attempts,
      }));
    return share(undefined, rejected);
  }

  rejectedEvents(): readonly RejectedEvent[] {
    const events = this.#bridge.readRejected().flatMap((each) => {
      if (!("topic" in each)) {
        return [];
      }
      const { reason, at = 0, ...event } = each;
      return [{ ...event, at, code: reason?.code ?? "unknown", message: reason?.message ?? "" }];
    });
    return share(undefined, events);
  }

  operation(seq: number): Operation {
    const operation = this.#bridge.operation(seq);
    if (!operation) {
      throw new RealtimeError("invalid_value", `no operation ${seq} waits here or was rejected`);
    }
    return operation;
  }

  discard(seq: number): void {
    this.#bridge.call((engine) => engine.discard(seq));
  }

  logout(options: LogoutOptions): Promise<LogoutResult> {
    const end = async () => {
      await this.#bridge.call((engine) => engine.endEverywhere?.());
      await this.close();
    };
    return logout({ ...this.#store, client: this, end }, options);
  }

  close(): Promise<void> {
    this.#ending.abort();
    return (this.#closing ??= this.#bridge.close());
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }
}
