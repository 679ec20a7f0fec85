import type { World } from "./world.js";

type Listener = (event: { type: string }) => void;

/** Names that a page's code sees as globals; everything else is the language's own. */
export const GLOBALS = [
  "globalThis",
  "self",
  "window",
  "setTimeout",
  "clearTimeout",
  "setInterval",
  "clearInterval",
  "Date",
  "performance",
  "crypto",
  "navigator",
  "document",
  "localStorage",
  "indexedDB",
  "IDBKeyRange",
  "BroadcastChannel",
  "WebSocket",
  "fetch",
] as const;

type Globals = Record<(typeof GLOBALS)[number], unknown>;

/** Of timers that are not the engine's: those of the tabs and of the supervisor. */
const PAUSES: ReadonlySet<number> = new Set([200, 500]);
/** Milliseconds after which a hidden page's timers run once a minute only. */
const INTENSIVE = 300_000;

/**
 * A page of the browser: what its code sees of the world, and whether any of it runs. What comes to it, timers and
 * events alike, comes as tasks; a page that is frozen gets them when it goes on, in order, and a dead one never.
 */
export class Page {
  readonly name: string;
  readonly #world: World;
  readonly #born: number;
  dead = false;
  frozen = false;
  /** The engine of this page traps the next time that it starts a timer, or when this method is called. */
  traps: string | undefined;
  /** The method of the engine that runs. */
  calling: string | undefined;
  /** Since when nobody can see it. */
  #hidden: number | undefined;
  #held: (() => void)[] = [];
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #timers = new Set<number>();
  #timer = 0;
  readonly globals: Globals;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
    this.#born = world.agenda.now;
    this.globals = this.#globals();
  }

  /** Has the page's code run so many milliseconds from now. */
  task(delay: number, run: () => void): void {
    this.#world.agenda.after(delay, () => this.perform(run));
  }

  /** Has the page's code run now, if it runs at all. */
  perform(run: () => void): void {
    if (this.dead) {
      return;
    }
    if (this.frozen) {
      this.#held.push(run);
      return;
    }
    try {
      run();
    } catch (error) {
      this.#world.violation(`${this.name} threw ${(error as Error)?.stack ?? String(error)}`);
    }
  }

  get hidden(): boolean {
    return this.#hidden !== undefined;
  }

  set hidden(hidden: boolean) {
    this.#hidden = hidden ? (this.#hidden ?? this.#world.agenda.now) : undefined;
    this.dispatch("visibilitychange");
  }

  dispatch(type: string): void {
    this.perform(() => this.#listeners.get(type)?.forEach((listener) => listener({ type })));
  }

  /** Nothing of it runs until it goes on. */
  freeze(): void {
    this.frozen = true;
  }

  /** Goes on with what came meanwhile. */
  thaw(first?: string): void {
    this.frozen = false;
    this.#world.forgot = this.#world.agenda.now;
    this.#world.storage.goOn(this);
    if (first !== undefined) {
      this.dispatch(first);
    }
    const held = this.#held;
    this.#held = [];
    // One after the other, as everything else that happens.
    held.forEach((run) => this.#world.agenda.inOrder(`${this.name}>thaw`, 0, () => this.perform(run)));
  }

  #globals(): Globals {
    const { world, random } = { world: this.#world, random: this.#world.random };
    const clear = (id: number) => void this.#timers.delete(id);
    const page = this;
    const globals: Globals = {
      globalThis: undefined,
      self: undefined,
      window: undefined,
      setTimeout: (run: () => void, delay = 0) => this.#startTimer(run, delay, false),
      clearTimeout: clear,
      setInterval: (run: () => void, delay = 0) => this.#startTimer(run, delay, true),
      clearInterval: clear,
      Date: class extends Date {
        static override now = () => world.unixTime();
      },
      performance: {
        now: () => {
          if (this.traps !== undefined && this.traps === this.calling) {
            this.#trap();
          }
          return world.agenda.now - this.#born;
        },
      },
      crypto: {
        getRandomValues: (bytes: Uint8Array) => bytes.map((_, i) => (bytes[i] = random.between(0, 255))),
      },
      navigator: { locks: world.locks?.of(this) },
      document: {
        // As a browser has it that freezes pages.
        onfreeze: null,
        get visibilityState() {
          return page.hidden ? "hidden" : "visible";
        },
      },
      localStorage: {
        getItem: (key: string) => world.localStorage.get(key) ?? null,
        setItem: (key: string, text: string) => void world.localStorage.set(key, text),
      },
      indexedDB: world.storage.of(this),
      IDBKeyRange: world.storage.ranges,
      BroadcastChannel: world.channels.of(this),
      WebSocket: world.network.of(this),
      // A server that is reached is reached by WebSocket.
      fetch: () => Promise.reject(new TypeError("fetch failed")),
    };
    globals.globalThis = {
      ...globals,
      addEventListener: (type: string, listener: Listener, options?: { signal?: AbortSignal }) => {
        const listeners = this.#listeners.get(type) ?? new Set();
        this.#listeners.set(type, listeners.add(listener));
        options?.signal?.addEventListener("abort", () => listeners.delete(listener));
      },
      removeEventListener: (type: string, listener: Listener) =>
        void this.#listeners.get(type)?.delete(listener),
    };
    return globals;
  }

  #trap(): never {
    this.traps = undefined;
    this.#world.forgot = this.#world.agenda.now;
    throw new WebAssembly.RuntimeError("unreachable");
  }

  #startTimer(run: () => void, delay: number, again: boolean): number {
    if (this.traps === "timer" && !again && !PAUSES.has(delay)) {
      this.#trap();
    }
    const id = (this.#timer += 1);
    this.#timers.add(id);
    const fire = () => {
      if (!this.#timers.has(id)) {
        return;
      }
      if (again) {
        this.task(this.#throttled(delay), fire);
      } else {
        this.#timers.delete(id);
      }
      run();
    };
    this.task(this.#throttled(delay), fire);
    return id;
  }

  /** When a timer of this page runs: late, and in a hidden page at full seconds or minutes. */
  #throttled(delay: number): number {
    const { agenda, random } = this.#world;
    const late = Math.max(1, delay) + random.latency(20);
    if (this.#hidden === undefined) {
      return late;
    }
    const unit = agenda.now - this.#hidden > INTENSIVE ? 60_000 : 1_000;
    return Math.ceil((agenda.now + late) / unit) * unit - agenda.now;
  }
}
