import type { Page } from "./browser.js";
import type { Commit } from "./indexed_db.js";
import type { Tab } from "./tab.js";
import { OUTBOX, type World } from "./world.js";

/** What befalls the browser, the machine and the network. */
export class Faults {
  readonly #world: World;
  /** Share of the commits that do not go well. */
  #trouble = 0;
  /** Whether a commit that took place may be told as failed. */
  lies = false;
  /** Whether the replica's database fails, too. What was in it may have to be fetched again then. */
  replica = false;
  /** How often the engine was killed by a trap. */
  #traps = 0;
  /** Nothing befalls any more. */
  #over = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** Whether the storage fails at this moment. */
  get hinder(): boolean {
    return this.#trouble > 0;
  }

  /** What becomes of a transaction. */
  commit(page: Page, database: string, writes: boolean): Commit {
    const { random } = this.#world;
    if (!random.chance(writes ? this.#trouble : this.#trouble / 8)) {
      return "commits";
    }
    if (database !== OUTBOX) {
      if (!this.replica) {
        return "commits";
      }
      this.#world.replicaFailed = true;
    }
    if (!writes) {
      return { fails: "UnknownError" };
    }
    const commit = random.weighted<Commit>([
      [4, { fails: "QuotaExceededError" }],
      [2, { fails: "UnknownError" }],
      [this.lies ? 1 : 0, "lies"],
    ]);
    this.#world.trace(`a commit of ${page.name} ${typeof commit === "string" ? commit : commit.fails}`);
    return commit;
  }

  /** The storage fails for a while. */
  trouble(): void {
    this.#trouble = this.#world.random.next();
    this.#world.trace(`storage fails in ${Math.round(this.#trouble * 100)} % of commits`);
    this.#later(8_000, () => (this.#trouble = 0));
  }

  network(): void {
    const silently = this.#world.random.chance(0.4);
    this.#world.trace(`the network fails${silently ? " silently" : ""}`);
    this.#world.network.fail(silently);
    this.#later(40_000, () => this.#world.network.restore());
  }

  cut(): void {
    this.#world.trace("connections are cut");
    this.#world.network.cut(this.#world.random.chance(0.3));
  }

  /** The page is put aside: it hears of that, and again when it goes on. */
  putAside(tab: Tab): void {
    const [away, back] = this.#world.random.chance(0.5) ? ["pagehide", "pageshow"] : ["freeze", "resume"];
    this.#world.trace(`${tab.page.name} is put aside by ${away}`);
    tab.away = true;
    tab.page.dispatch(away as string);
    // The page has a moment to do what it does then, or none.
    this.#world.agenda.after(this.#world.random.latency(60), () => this.#freeze(tab, back));
  }

  /** The page stops in mid-air; more often than chance would have it while it saves something. */
  stop(tab: Tab): void {
    if (this.#world.random.chance(0.5)) {
      tab.write();
    }
    this.#world.trace(`${tab.page.name} stops`);
    tab.away = true;
    this.#freeze(tab, undefined);
  }

  #freeze(tab: Tab, back: string | undefined): void {
    const { page } = tab;
    if (page.dead) {
      return;
    }
    page.freeze();
    // Also for longer than anybody would wait.
    const most = this.#world.random.chance(0.3) ? 300_000 : 60_000;
    this.#later(most, () => {
      if (page.dead || !page.frozen) {
        return;
      }
      if (this.#world.random.chance(0.3)) {
        this.#world.kill(tab);
      } else {
        this.#world.trace(`${page.name} goes on`);
        tab.away = false;
        page.thaw(back);
      }
    });
  }

  sleep(): void {
    const slept = this.#world.random.between(1_000, 3_600_000);
    this.#world.trace(`the machine sleeps for ${slept} ms`);
    this.#world.slept += slept;
    this.#world.network.cut(true);
  }

  clock(): void {
    const year = 31_536_000_000;
    this.#world.clock = this.#world.random.between(-year, year);
    this.#world.trace(`the clock is wrong by ${this.#world.clock} ms`);
  }

  trap(tab: Tab): void {
    if (tab.client?.status.role === "leader" && (this.#traps += 1) <= 3) {
      tab.page.traps = this.#world.random.pick(["timer", "timer", "adopt", "submit", "submit", "openQuery"]);
      this.#world.trace(`the engine of ${tab.page.name} is to trap: ${tab.page.traps}`);
    }
  }

  /** Everything heals. */
  end(): void {
    this.#world.trace("all heals");
    this.#over = true;
    this.#trouble = 0;
    this.#pending.splice(0).forEach((heal) => heal());
  }

  readonly #pending: (() => void)[] = [];

  /** What ends by itself before long, or when everything heals. */
  #later(most: number, heal: () => void): void {
    if (this.#over) {
      heal();
      return;
    }
    let done = false;
    const once = () => {
      if (!done) {
        done = true;
        heal();
      }
    };
    this.#pending.push(once);
    this.#world.agenda.after(this.#world.random.between(0, most), once);
  }
}
