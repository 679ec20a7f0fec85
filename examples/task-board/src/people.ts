import type { Person } from "@webwaka/realtime";

import type { BoardClient } from "./cards.js";
import { arrange, el, say } from "./dom.js";

/** Where somebody is on the board, and whether they are writing. */
interface Here {
  readonly name: string;
  readonly typing: boolean;
  /** The pointer, as a part of the board's width and height; none where it is elsewhere. */
  readonly at?: { readonly x: number; readonly y: number } | undefined;
}

const ROOM = "board";
/** How long somebody counts as writing after a key. */
const TYPING = 2_000;

/** Who has the board open now, who is writing, and where the pointers of the others are. */
export class People {
  readonly element: HTMLElement;
  readonly #words = el("p", { class: "people-words", role: "status" });
  readonly #pointers = el("div", { class: "pointers", "aria-hidden": "true" });
  readonly #arrows = new Map<string, HTMLElement>();
  readonly #room;
  #typing: ReturnType<typeof setTimeout> | undefined;

  /** `surface` is what pointers move over. */
  constructor(client: BoardClient, name: string, surface: HTMLElement, leaving: AbortSignal) {
    this.#room = client.room<Here>(ROOM);
    const { presence } = this.#room;
    this.element = el(
      "section",
      { class: "people", "aria-label": "Who is here" },
      this.#words,
      this.#pointers,
    );
    presence.subscribe(() => {
      this.#show(presence.loaded, presence.getSnapshot(), surface);
    });
    presence.enter({ name, typing: false });
    const signal = leaving;
    surface.addEventListener(
      "pointermove",
      ({ clientX, clientY }) => {
        const { left, top, width, height } = surface.getBoundingClientRect();
        presence.update({ at: { x: (clientX - left) / width, y: (clientY - top) / height } });
      },
      { signal },
    );
    surface.addEventListener("pointerleave", () => presence.update({ at: undefined }), { signal });
    const writes = () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => presence.update({ typing: false }), TYPING);
      presence.update({ typing: true });
    };
    document.addEventListener("input", writes, { signal });
    signal.addEventListener("abort", () => {
      clearTimeout(this.#typing);
      this.#room.close();
    });
  }

  #show(loaded: boolean, people: readonly Person<Here>[], surface: HTMLElement): void {
    const others = people.filter(({ me }) => !me);
    say(this.#words, loaded ? words(others.map(({ state }) => state)) : "");
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = surface;
    const shown = others.flatMap(({ user, state: { at, name } }) => {
      if (!at) return [];
      const arrow = this.#arrows.get(user) ?? el("span", { class: "pointer" });
      this.#arrows.set(user, arrow);
      say(arrow, name);
      arrow.style.translate = `${offsetLeft + at.x * offsetWidth}px ${offsetTop + at.y * offsetHeight}px`;
      return [arrow];
    });
    arrange(this.#pointers, shown);
    const here = new Set(others.map(({ user }) => user));
    for (const user of this.#arrows.keys()) if (!here.has(user)) this.#arrows.delete(user);
  }
}

function words(others: readonly Here[]): string {
  if (others.length === 0) return "Nobody else is here";
  const names = others.map(({ name, typing }) => (typing ? `${name} (writing)` : name));
  return `Here: ${names.join(", ")}`;
}
