import type { Tab } from "./tab.js";
import type { World } from "./world.js";

/** Tabs that there are at one time, at most. */
const MOST_TABS = 6;
type Versions = readonly (readonly [number, number])[];

/** Versions of the messages between tabs: this release's, one that also knows the next, and one that knows the next only. */
const NEIGHBOURS = [
  [1, 1],
  [1, 2],
] as const;
const STRANGERS = [
  [1, 1],
  [2, 2],
] as const;

/** What a seed makes happen: how long, how often, and what more often than in other runs. */
export class Plan {
  readonly #world: World;
  /** Milliseconds until everything heals. */
  readonly duration: number;
  readonly #pace: number;
  readonly #versions: Versions | undefined;
  readonly #acts: readonly (readonly [weight: number, act: () => void])[];

  constructor(world: World) {
    this.#world = world;
    const { random, faults } = world;
    // In some runs there is time for what takes long: a page that is frozen for minutes.
    const slow = random.chance(0.3) ? 4 : 1;
    this.duration = slow * random.between(20_000, 90_000);
    this.#pace = slow * random.between(200, 1_500);
    this.#versions = random.weighted<Versions | undefined>([
      [7, undefined],
      [2, NEIGHBOURS],
      [1, STRANGERS],
    ] as const);
    faults.lies = random.chance(0.3);
    faults.replica = random.chance(0.3);
    // In each run some of what can befall does so often, and some not at all.
    const often = (weight: number) => weight * (random.pick([0, 1, 1, 4]) as number);
    this.#acts = [
      [40, () => this.#any()?.write()],
      [
        6,
        () =>
          world.server.writeElsewhere(
            random.pick(["a", "b", "c"]) as string,
            `elsewhere.${world.server.offset}`,
          ),
      ],
      [often(6), () => world.server.append(random.between(1, 8))],
      [often(1), () => world.server.topic.trim(random.between(0, world.server.topic.head))],
      [8, () => this.#any()?.read()],
      [5, () => this.open()],
      [often(3), () => this.#kill()],
      [often(3), () => this.#close()],
      [often(4), () => this.#onOne((tab) => tab.away || faults.putAside(tab))],
      [often(3), () => this.#stop()],
      [4, () => this.#hide()],
      [often(3), () => faults.network()],
      [often(3), () => faults.cut()],
      [often(2), () => faults.trouble()],
      [often(2), () => this.#forceClose()],
      [often(0.5), () => faults.sleep()],
      [often(0.3), () => faults.clock()],
      [often(1), () => this.#onOne((tab) => faults.trap(tab))],
      [often(0.6), () => this.#crash()],
      [often(1), () => this.#switchNetwork()],
    ];
  }

  /** Begins, and goes on until everything heals. */
  begin(): void {
    const tabs = this.#world.random.between(1, 4);
    for (let count = 0; count < tabs; count += 1) {
      this.#world.agenda.after(this.#world.random.latency(3_000), () => this.open());
    }
    this.#next();
    this.#look();
  }

  open(): void {
    if (this.#world.agenda.now < this.duration && this.#world.living.length < MOST_TABS) {
      this.#world.open(this.#versions && this.#world.random.pick(this.#versions));
    }
  }

  /** Where tabs do not understand each other, those of the older version have been reloaded in the end. */
  end(): void {
    if (this.#versions === STRANGERS) {
      const young = (tab: Tab) => tab.versions?.[0] === 2;
      const { living } = this.#world;
      if (living.some(young)) {
        living.filter((tab) => !young(tab)).forEach((tab) => this.#world.kill(tab));
      }
    }
    this.tend();
  }

  /** What a user does who sees that a page has come to its end: loads it again. */
  tend(): void {
    const { living } = this.#world;
    const over = living.filter((tab) => tab.closing || tab.ended || tab.failure !== undefined);
    over.forEach((tab) => this.#world.kill(tab));
    // Those that have no part in what is stored leave it where it is.
    if (this.#world.living.every((tab) => tab.client?.status.role === "alone")) {
      this.#world.open(this.#versions?.at(-1));
    }
    // What one tab says of it may pass another's word on the way.
    this.#world.living
      .filter((tab) => tab.client?.status.network === false)
      .forEach((tab) => tab.allowNetwork(true));
  }

  #look(): void {
    this.#world.living.forEach((tab) => tab.hurry());
    this.#world.agenda.after(2_000, () => this.#look());
  }

  #next(): void {
    const { agenda, random } = this.#world;
    agenda.after(random.latency(4 * this.#pace), () => {
      if (agenda.now < this.duration) {
        random.weighted(this.#acts)();
        this.#next();
      }
    });
  }

  #any(): Tab | undefined {
    return this.#world.random.pick(this.#world.awake);
  }

  /** More often the tab that leads. */
  #onOne(act: (tab: Tab) => void): void {
    const { awake, random } = this.#world;
    const leader = awake.find((tab) => tab.client?.status.role === "leader");
    const tab = random.chance(0.5) ? (leader ?? random.pick(awake)) : random.pick(awake);
    if (tab) {
      act(tab);
    }
  }

  #kill(): void {
    this.#onOne((tab) => {
      this.#world.kill(tab);
      if (this.#world.random.chance(0.5)) {
        this.#world.agenda.after(this.#world.random.latency(2_000), () => this.open());
      }
    });
  }

  /** Others may come while it does not answer. */
  #stop(): void {
    this.#onOne((tab) => tab.away || this.#world.faults.stop(tab));
    if (this.#world.random.chance(0.5)) {
      this.#world.agenda.after(this.#world.random.between(0, 10_000), () => this.open());
    }
  }

  #close(): void {
    this.#onOne((tab) => {
      tab.close();
      this.#world.agenda.after(
        this.#world.random.latency(2_000),
        () => !tab.page.dead && this.#world.kill(tab),
      );
    });
  }

  #crash(): void {
    this.#world.trace("the browser crashes");
    this.#world.living.forEach((tab) => this.#world.kill(tab));
    this.#world.agenda.after(this.#world.random.latency(20_000), () => this.open());
  }

  #hide(): void {
    const tab = this.#any();
    if (tab) {
      this.#world.trace(`${tab.page.name} is ${tab.page.hidden ? "shown" : "hidden"}`);
      tab.page.hidden = !tab.page.hidden;
    }
  }

  #forceClose(): void {
    this.#onOne(({ page }) => {
      this.#world.trace(`the browser closes the databases of ${page.name}`);
      this.#world.storage.closeBy(page);
    });
  }

  #switchNetwork(): void {
    this.#any()?.allowNetwork(false);
    const { agenda, random } = this.#world;
    agenda.after(random.between(0, 20_000), () => this.#any()?.allowNetwork(true));
  }
}
