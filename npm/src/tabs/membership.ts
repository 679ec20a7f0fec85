import { Channel } from "./channel.js";
import type { Host } from "./host.js";
import { LeaderLock } from "./lock.js";
import type { Message, Versions } from "./protocol.js";

/** What a tab is told of its place among the tabs of a client. */
export interface Member {
  /** It is to lead, for as long as `isOurs` says so. */
  lead(isOurs: () => boolean): Promise<void>;
  /** It is to give up the lead, if it has it. */
  yield(): Promise<void>;
  /** There is nothing by which tabs could agree. */
  alone(): void;
  hear(message: Message, from: string, versions: Versions): void;
}

/**
 * One tab's place among the tabs of a client.
 *
 * The leader holds a Web Lock for which all others stand in line, so that its end is noticed at once. Each tab holds
 * another one, of its own, for as long as it is there. All hear each other on a channel.
 */
export class Membership {
  readonly #host: Host;
  readonly #name: string;
  readonly #id: string;
  readonly #versions: Versions;
  readonly #member: Member;
  #lock: LeaderLock | undefined;
  #channel: Channel | undefined;
  #away: (() => void) | undefined;

  /** `id` is the tab's, `name` that of the client. */
  constructor(host: Host, name: string, id: string, versions: Versions, member: Member) {
    this.#host = host;
    this.#name = name;
    this.#id = id;
    this.#versions = versions;
    this.#member = member;
  }

  /** Whether this tab is among them. */
  get joined(): boolean {
    return this.#channel !== undefined;
  }

  /** Whether this tab is the one that may lead. */
  get leads(): boolean {
    return this.#lock?.held === true;
  }

  join(): void {
    const { locks } = this.#host;
    const line = locks && this.#host.channel(this.#lockName());
    if (!locks || !line) {
      this.#member.alone();
      return;
    }
    this.#channel = new Channel(line, this.#id, this.#versions, (...heard) => this.#member.hear(...heard));
    const here = new Promise<void>((away) => (this.#away = away));
    const lock = new LeaderLock(locks, this.#lockName(), {
      granted: () => this.resume(),
      stolen: () => void this.#member.yield().then(() => this.enqueue()),
      denied: () => this.#member.alone(),
    });
    this.#lock = lock;
    // Says to the leader, for as long as it is held, that this tab lives: held before the leader hears of the tab, which
    // would otherwise take it for dead.
    const live = () => {
      this.enqueue();
      return here;
    };
    locks.request(this.#lifeOf(this.#id), live).catch(() => lock === this.#lock && this.#member.alone());
  }

  /** Lets go of all that other tabs could wait for. */
  leave(): void {
    this.#lock?.release();
    this.#lock = undefined;
    this.#away?.();
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Gets in line for the lead, and asks who has it. */
  enqueue(): void {
    if (this.#lock && !this.#lock.held) {
      this.#lock.request();
      this.post({ hello: true });
    }
  }

  /** Has this tab lead from the start, if it may. */
  resume(): void {
    const lock = this.#lock;
    if (lock?.held) {
      void this.#member.lead(() => lock === this.#lock && lock.held);
    }
  }

  /** Takes the lead from whoever has it. */
  depose(): void {
    this.#lock?.request(true);
  }

  /** To one tab, or to all. */
  post(message: Message, to?: string): void {
    this.#channel?.post(message, to);
  }

  /** The tabs that there are. */
  async living(): Promise<ReadonlySet<string>> {
    const prefix = this.#lifeOf("");
    const { held = [] } = (await this.#host.locks?.query()) ?? {};
    const names = held.map(({ name = "" }) => name).filter((name) => name.startsWith(prefix));
    return new Set(names.map((name) => name.slice(prefix.length)));
  }

  /** Calls back when a tab is no more. */
  awaitEnd(tab: string, gone: () => void): void {
    // Shared, as a leader that sleeps may have asked before.
    const options = { mode: "shared" } as const;
    this.#host.locks?.request(this.#lifeOf(tab), options, gone).catch(() => undefined);
  }

  #lifeOf(tab: string): string {
    return this.#lockName(`:tab:${tab}`);
  }

  #lockName(part = ""): string {
    return `webwaka:${this.#name}${part}`;
  }
}
