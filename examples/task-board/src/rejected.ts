import type { RejectedOperation } from "@webwaka/realtime";

import { button, el } from "./dom.js";
import { cardName, edits } from "./words.js";

/** The edits that the server refused, each until it has been looked at. */
export class RejectedList {
  readonly element = el("section", { class: "rejected", "aria-live": "polite", hidden: true });
  readonly #discard: (seq: number) => void;
  #shown = "";

  constructor(discard: (seq: number) => void) {
    this.#discard = discard;
  }

  show(rejected: readonly RejectedOperation[], titleOf: (id: string) => string | undefined): void {
    const key = rejected.map(({ seq }) => seq).join();
    // The list is announced when it changes, not with every change of the status.
    if (key === this.#shown) return;
    this.#shown = key;
    this.element.hidden = rejected.length === 0;
    this.element.replaceChildren(
      el("h2", {}, `The server refused ${edits(rejected.length)}`),
      el("ul", {}, ...rejected.map((operation) => this.#entry(operation, titleOf(operation.id)))),
    );
  }

  #entry({ seq, message }: RejectedOperation, title: string | undefined): HTMLLIElement {
    return el(
      "li",
      {},
      el("span", {}, `${title === undefined ? "A card" : cardName(title)}: ${message}`),
      button("Dismiss", "quiet", () => this.#discard(seq), "Dismiss this refused edit"),
    );
  }
}
