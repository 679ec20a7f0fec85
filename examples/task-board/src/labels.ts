import { arrange, button, el } from "./dom.js";

/** What the labels of a card let people do. Each gives `true` once it is saved on this device. */
export interface LabelActions {
  add(label: string): Promise<boolean>;
  remove(label: string): Promise<boolean>;
}

/** The longest label. */
const LIMIT = 24;

/** The labels of a card, and a field for one more. */
export class Labels {
  readonly element: HTMLElement;
  readonly #list = el("ul", { class: "labels" });
  readonly #shown = new Map<string, HTMLLIElement>();
  readonly #actions: LabelActions;

  constructor(actions: LabelActions) {
    this.#actions = actions;
    const input = el("input", {
      class: "label-input",
      "aria-label": "New label",
      placeholder: "+ label",
      maxlength: String(LIMIT),
      enterkeyhint: "done",
      autocomplete: "off",
    });
    const form = el("form", { class: "label-form" }, input);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const label = input.value.trim();
      if (!label) return;
      input.value = "";
      // What could not be saved goes back to where it can be tried again.
      void actions.add(label).then((saved) => {
        if (!saved) input.value ||= label;
      });
    });
    this.element = el("div", { class: "label-line" }, this.#list, form);
  }

  show(labels: readonly string[]): void {
    const wanted = [...new Set(labels)];
    for (const label of [...this.#shown.keys()]) if (!wanted.includes(label)) this.#shown.delete(label);
    const items = wanted.map((label) => {
      const item = this.#shown.get(label) ?? this.#item(label);
      this.#shown.set(label, item);
      return item;
    });
    arrange(this.#list, items);
  }

  #item(label: string): HTMLLIElement {
    const press = () => void this.#actions.remove(label);
    return el("li", {}, button(`${label} ×`, "label", press, `Remove the label ${label}`));
  }
}
