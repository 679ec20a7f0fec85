import type { OpenConflict } from "@webwaka/realtime";

import { button, el } from "./dom.js";
import { conflictWords, moment } from "./words.js";

/** What a person decides: one of the two, or a text made of both. */
export type Choice = "mine" | "theirs" | Record<string, unknown>;

/** The conflicts that wait for this person. Each stays until it is decided, also when the page is closed. */
export class ConflictInbox {
  readonly element: HTMLElement;
  readonly #heading = el("h2", { id: "conflicts", tabindex: "-1" });
  readonly #list = el("ul", {});
  readonly #shown = new Map<number, { key: string; item: HTMLLIElement }>();
  readonly #name: string;
  readonly #resolve: (seq: number, choice: Choice) => Promise<boolean>;

  constructor(name: string, resolve: (seq: number, choice: Choice) => Promise<boolean>) {
    this.#name = name;
    this.#resolve = resolve;
    this.element = el(
      "section",
      { class: "conflicts", "aria-labelledby": this.#heading.id, "aria-live": "polite", hidden: true },
      this.#heading,
      this.#list,
    );
  }

  show(conflicts: readonly OpenConflict[]): void {
    const open = new Set(conflicts.map(({ seq }) => seq));
    const focused = this.#list.contains(document.activeElement);
    for (const [seq, { item }] of this.#shown) {
      if (open.has(seq)) continue;
      item.remove();
      this.#shown.delete(seq);
    }
    for (const conflict of conflicts) {
      const key = JSON.stringify(conflict);
      const before = this.#shown.get(conflict.seq);
      // What is being merged in a field is not disturbed unless the other side has moved on.
      if (before?.key === key) continue;
      const item = this.#item(conflict);
      if (before) before.item.replaceWith(item);
      else this.#list.append(item);
      this.#shown.set(conflict.seq, { key, item });
    }
    this.element.hidden = conflicts.length === 0;
    this.#heading.textContent = conflictWords(conflicts.length);
    // Whoever decided one by the keyboard goes on with the next.
    if (focused && !this.#list.contains(document.activeElement)) this.#heading.focus();
  }

  #item(conflict: OpenConflict): HTMLLIElement {
    const { seq, fields, base, mine, theirs, by, madeAt, problem } = conflict;
    const decide = (choice: Choice) => void this.#resolve(seq, choice);
    const merge = merger(conflict, (merged) => decide(merged));
    return el(
      "li",
      { class: "conflict" },
      el("p", {}, "You and someone else changed this at the same time. Which text shall stay?"),
      problem === undefined ? undefined : el("p", { class: "problem" }, problem),
      el(
        "div",
        { class: "versions" },
        version("Before", undefined, shown(base, fields)),
        version(
          "Yours",
          `${this.#name}, ${moment(madeAt)}`,
          shown(mine, fields),
          button("Keep mine", "primary", () => decide("mine")),
        ),
        version(
          "Theirs",
          by ? `${by.subject}, ${moment(by.at)}` : undefined,
          shown(theirs, fields),
          button("Keep theirs", "primary", () => decide("theirs")),
        ),
      ),
      merge,
    );
  }
}

function version(title: string, who: string | undefined, text: string, press?: HTMLElement): HTMLElement {
  return el(
    "section",
    { class: "version", "aria-label": title },
    el("h3", {}, title),
    el("p", { class: "who-when" }, who ?? ""),
    el("blockquote", {}, text),
    press,
  );
}

/** A form in which the two are made one, with a field for each that is in conflict: it begins with both texts. */
function merger(
  { seq, fields, mine, theirs }: OpenConflict,
  save: (merged: Record<string, unknown>) => void,
) {
  const hint = "Or write what both shall become";
  const editors = fields.map((name) => {
    const texts = [mine, theirs].map((side) => shown(side, [name])).filter((text) => text !== "");
    const text = el("textarea", { id: `merge-${seq}-${name}`, rows: "3", maxlength: "4000" });
    text.value = [...new Set(texts)].join("\n");
    return { name, text };
  });
  const form = el(
    "form",
    { class: "merge" },
    // The name of a field says nothing to people where there is only one.
    editors.length > 1 ? el("p", {}, hint) : undefined,
    ...editors.flatMap(({ name, text }) => [
      el("label", { for: text.id }, editors.length > 1 ? name : hint),
      text,
    ]),
    el("button", { class: "quiet" }, "Save the merged text"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(Object.fromEntries(editors.map(({ name, text }) => [name, text.value])));
  });
  return form;
}

/** The fields in conflict, as text to compare; nothing of a document that is not there. */
function shown(side: Readonly<Record<string, unknown>> | undefined, fields: readonly string[]): string {
  const texts = fields.map((name) => side?.[name]).filter((value) => value !== undefined);
  return texts.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join("\n");
}
