import type {
  Engine,
  OpenEngine,
  Rules,
  WireEvent,
  WireRoom,
  WireStatus,
  WireTopic,
  WireView,
} from "../src/seam.js";

/** One call that the facade made. */
export type Call = [method: string, ...args: unknown[]];

/**
 * The engine's side of the seam, played by the test: it records what the facade asks and says what the test tells
 * it to. It has no behaviour of its own; what the engine does is tested with the engine.
 */
export class ScriptedEngine implements Engine {
  readonly calls: Call[] = [];
  readonly views = new Map<number, WireView | WireTopic<unknown> | WireRoom<unknown, unknown>>();
  statusNow: WireStatus = {
    link: "down",
    network: true,
    pending: 0,
    rejected: 0,
    conflicts: 0,
    damaged: 0,
    durable: true,
    caughtUp: false,
  };
  client = "c1";
  rejectedNow: unknown[] = [];
  unsettledNow: unknown[] = [];
  conflictsNow: unknown[] = [];
  rules: Rules | undefined;
  /** What the next call throws. */
  failure: unknown;
  /** When opening it is done. */
  opening: Promise<void> = Promise.resolve();
  opened = false;
  options: Record<string, unknown> = {};
  token: () => Promise<string> = () => Promise.reject(new Error("not open"));
  #events: (json: string) => void = () => undefined;

  /** Give this to the facade. */
  readonly open: OpenEngine = (options, token, events, _encryption, rules) => {
    this.options = JSON.parse(options) as Record<string, unknown>;
    this.token = token;
    this.#events = events;
    this.rules = rules;
    this.opened = true;
    return this.opening.then(() => this);
  };

  /** Tells the facade of events, as one list. */
  emit(...events: (WireEvent | object | string)[]): void {
    this.#events(JSON.stringify(events));
  }

  /** The calls of one method, each as its arguments. */
  called(method: keyof Engine): unknown[][] {
    return this.calls.filter(([name]) => name === method).map(([, ...args]) => args);
  }

  /** The newest argument of that place. */
  last(method: keyof Engine, argument = 0): number {
    return this.called(method).at(-1)?.[argument] as number;
  }

  submit(...args: [number, string, string, number, string, (string | undefined)?]): void {
    this.#record(
      "submit",
      args.filter((each) => each !== undefined),
    );
  }
  edit(...args: [number, number, number, string]): void {
    this.#record("edit", args);
  }
  retry(...args: [number, number]): void {
    this.#record("retry", args);
  }
  conflicts(): string {
    this.#record("conflicts", []);
    return JSON.stringify(this.conflictsNow);
  }
  abort(...args: [number, number]): void {
    this.#record("abort", args);
  }
  resolve(...args: [number, number, string]): void {
    this.#record("resolve", args);
  }
  adopt(...args: [number, string, boolean]): void {
    this.#record("adopt", args);
  }
  openQuery(id: number, query: string): void {
    this.#record("openQuery", [id, JSON.parse(query)]);
  }
  closeQuery(id: number): void {
    this.#record("closeQuery", [id]);
  }
  view(id: number): string | undefined {
    this.#record("view", [id]);
    const view = this.views.get(id);
    return view && JSON.stringify(view);
  }
  present(...args: [number, (string | undefined)?]): void {
    this.#record("present", args);
  }
  say(...args: [number, string, string]): void {
    this.#record("say", args);
  }
  taken(...args: [number, string]): void {
    this.#record("taken", args);
  }
  status(): string {
    this.#record("status", []);
    return JSON.stringify(this.statusNow);
  }
  rejected(): string {
    this.#record("rejected", []);
    return JSON.stringify(this.rejectedNow);
  }
  unsettled(): string {
    this.#record("unsettled", []);
    return JSON.stringify(this.unsettledNow);
  }
  discard(seq: number): void {
    this.#record("discard", [seq]);
  }
  setNetwork(allowed: boolean): void {
    this.#record("setNetwork", [allowed]);
  }
  wake(): void {
    this.#record("wake", []);
  }
  clientId(): string {
    return this.client;
  }
  stop(): Promise<void> {
    this.#record("stop", []);
    return Promise.resolve();
  }
  free(): void {
    this.#record("free", []);
  }

  #record(method: string, args: unknown[]): void {
    this.calls.push([method, ...args]);
    if (this.failure !== undefined) {
      const failure = this.failure;
      this.failure = undefined;
      throw failure;
    }
  }
}
