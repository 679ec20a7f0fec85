import { arrange, button, el, say } from "../dom.js";
import { moment } from "../words.js";
import { CLIENTS, type Fate, type Group, type Letter, ofGroup, type Operations, type Source } from "./api.js";
import { LetterView } from "./letter.js";

/** Groups of workers and what clients were refused, the dead letters of one of them, and what is in one of these. */
export class Page {
  readonly element: HTMLElement;
  readonly #operations: Operations;
  readonly #groups = el("ul", { class: "groups" });
  readonly #none = el("p", { hidden: true }, "There are no groups of workers yet.");
  readonly #message = el("p", { role: "status", class: "message" });
  readonly #letters = el("tbody", {});
  readonly #list: HTMLElement;
  readonly #heading = el("h2", {});
  readonly #all = el("input", { type: "checkbox", "aria-label": "All dead letters" });
  readonly #rows = new Map<string, { row: HTMLTableRowElement; box: HTMLInputElement; key: string }>();
  readonly #retry: HTMLButtonElement;
  readonly #discard: HTMLButtonElement;
  #source: Source | undefined;
  #view: LetterView | undefined;
  #refreshing: Promise<void> = Promise.resolve();

  constructor(operations: Operations) {
    this.#operations = operations;
    this.#retry = button("Try again", "primary", () => void this.#settle("retry", this.#chosen()));
    this.#discard = button("Discard", "quiet", () => void this.#settle("discard", this.#chosen()));
    this.#all.addEventListener("change", () => {
      for (const { box } of this.#rows.values()) box.checked = this.#all.checked;
      this.#count();
    });
    this.#list = el(
      "section",
      { class: "letters", hidden: true },
      this.#heading,
      el("div", { class: "acts" }, this.#retry, this.#discard),
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", {}, this.#all),
            ...["Since", "Why", "Attempts", "State"].map((title) => el("th", { scope: "col" }, title)),
          ),
        ),
        this.#letters,
      ),
    );
    this.element = el(
      "div",
      { class: "operator" },
      el("h1", {}, "Dead letters"),
      el(
        "p",
        {},
        "Events that workers could not work on, and what clients were refused. Each stays until it is tried again with success, or discarded.",
      ),
      this.#message,
      this.#none,
      this.#groups,
      this.#list,
    );
    this.#count();
  }

  /** Looks at everything anew, one look after the other. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(() => this.#look());
    return this.#refreshing;
  }

  async #look(): Promise<void> {
    try {
      const groups = await this.#operations.groups();
      this.#showGroups(groups);
      if (this.#source) this.#showLetters(await this.#operations.letters(this.#source));
      this.#none.hidden = groups.length > 0;
      if (this.#message.classList.contains("failed")) this.#say("");
    } catch (error) {
      this.#fail(error);
    }
  }

  #showGroups(groups: readonly Group[]): void {
    const items = groups.map((group) => {
      const { dead_letters, outstanding, leased, halted, lost } = group;
      const facts = [
        `${dead_letters} dead`,
        `${outstanding} unresolved`,
        `${leased} at workers`,
        ...(halted > 0 ? [`${halted} halted`] : []),
        ...(lost > 0 ? [`${lost} lost`] : []),
      ];
      return this.#item(ofGroup(group), group.group, [
        el("span", {}, `topic ${group.topic}`),
        el("span", { class: dead_letters > 0 ? "dead" : undefined }, facts.join(" · ")),
      ]);
    });
    items.push(this.#item(CLIENTS, CLIENTS.title, [el("span", {}, "edits and events that were refused")]));
    const focused = [...this.#groups.children].findIndex((item) => item.contains(document.activeElement));
    this.#groups.replaceChildren(...items);
    if (focused >= 0) items[focused]?.querySelector("button")?.focus();
  }

  #item(source: Source, name: string, facts: readonly HTMLElement[]): HTMLElement {
    const press = button("", "group", () => void this.#open(source));
    press.append(el("strong", {}, name), ...facts);
    if (source.path === this.#source?.path) press.setAttribute("aria-current", "true");
    return el("li", {}, press);
  }

  async #open(source: Source): Promise<void> {
    this.#source = source;
    this.#close();
    this.#rows.clear();
    this.#letters.replaceChildren();
    this.#say("");
    await this.refresh();
    this.#heading.textContent = source.title;
    this.#list.hidden = false;
  }

  #showLetters(letters: readonly Letter[]): void {
    const there = new Set(letters.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!there.has(id)) this.#rows.delete(id);
    const rows = letters.map((letter) => this.#row(letter));
    const view = this.#view;
    const at = view ? letters.findIndex(({ id }) => id === view.id) : -1;
    if (view && at < 0) this.#close();
    else if (view) rows.splice(at + 1, 0, view.element);
    arrange(this.#letters, rows);
    this.#count();
  }

  /** A letter's row; one that is as it was stays, with its tick and the focus. */
  #row(letter: Letter): HTMLTableRowElement {
    const key = JSON.stringify(letter);
    const known = this.#rows.get(letter.id);
    if (known?.key === key) return known.row;
    const box = el("input", { type: "checkbox", "aria-label": `Dead letter ${letter.id}` });
    box.checked = known?.box.checked ?? false;
    box.addEventListener("change", () => this.#count());
    const state = letter.retrying ? "being tried again" : letter.edited ? "edited" : "waiting";
    const row = el(
      "tr",
      { "data-letter": letter.id },
      el("td", {}, box),
      el("td", {}, moment(letter.since)),
      el(
        "td",
        {},
        button(letter.reason ?? "no reason given", "link", () => void this.#show(letter)),
      ),
      el("td", {}, String(letter.attempts.length)),
      el("td", {}, state),
    );
    this.#rows.set(letter.id, { row, box, key });
    return row;
  }

  async #show(letter: Letter): Promise<void> {
    const source = this.#source;
    const was = this.#view?.id;
    this.#close();
    if (!source || was === letter.id) return;
    try {
      const whole = await this.#operations.letter(source, letter.id);
      this.#view = new LetterView(whole, {
        save: (text) => this.#edit(source, letter, text),
        retry: () => this.#settle("retry", [letter.id]),
        discard: () => this.#settle("discard", [letter.id]),
      });
      this.#rows.get(letter.id)?.row.after(this.#view.element);
      this.#view.element.querySelector("textarea")?.focus();
    } catch (error) {
      this.#fail(error);
    }
  }

  #close(): void {
    this.#view?.element.remove();
    this.#view = undefined;
  }

  async #edit(source: Source, letter: Letter, text: string): Promise<void> {
    try {
      await this.#operations.edit(source, letter, text);
      this.#say("Saved. It is not tried before you say so.");
    } catch (error) {
      this.#fail(error);
    }
    await this.refresh();
  }

  async #settle(verb: "retry" | "discard", ids: readonly string[]): Promise<void> {
    if (!this.#source || ids.length === 0) return;
    try {
      this.#say(told(await this.#operations.settle(this.#source, verb, ids)));
      for (const id of ids) {
        const row = this.#rows.get(id);
        if (row) row.box.checked = false;
      }
    } catch (error) {
      this.#fail(error);
    }
    await this.refresh();
  }

  #chosen(): string[] {
    return [...this.#rows].filter(([, { box }]) => box.checked).map(([id]) => id);
  }

  #count(): void {
    const chosen = this.#chosen().length;
    this.#retry.disabled = this.#discard.disabled = chosen === 0;
    this.#all.checked = chosen > 0 && chosen === this.#rows.size;
    say(this.#retry, chosen > 0 ? `Try ${chosen} again` : "Try again");
    say(this.#discard, chosen > 0 ? `Discard ${chosen}` : "Discard");
  }

  #say(text: string): void {
    this.#message.classList.remove("failed");
    say(this.#message, text);
  }

  #fail(error: unknown): void {
    this.#message.classList.add("failed");
    say(this.#message, error instanceof Error ? error.message : String(error));
  }
}

/** What became of letters, in words. */
function told(fates: readonly Fate[]): string {
  const counts = new Map<Fate["state"], number>();
  for (const { state } of fates) counts.set(state, (counts.get(state) ?? 0) + 1);
  const words = {
    edited: "edited",
    retrying: "being tried again",
    applied: "applied",
    refused: "refused again",
    discarded: "discarded",
    gone: "settled before",
  };
  return [...counts].map(([state, count]) => `${count} ${words[state]}`).join(", ");
}
