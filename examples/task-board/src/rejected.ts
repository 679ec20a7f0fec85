import type { RejectedOperation } from "@webwaka/realtime";

import { button, el } from "./dom.js";
import { cardName, edits } from "./words.js";

/** What can be done with an edit that was refused. */
interface RejectedActions {
  retry(seq: number): void;
  discard(seq: number): void;
}

/** The edits that the server refused, each until it has been looked at. */
export class RejectedList {
  readonly element = el("section", { class: "rejected", "aria-live": "polite", hidden: true });
  readonly #actions: RejectedActions;
  #shown = "";

  constructor(actions: RejectedActions) {
    this.#actions = actions;
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

  #entry(operation: RejectedOperation, title: string | undefined): HTMLLIElement {
    const tries = operation.attempts > 1 ? ` (tried ${operation.attempts} times)` : "";
    const reason = `${title === undefined ? "A card" : cardName(title)}: ${operation.message}${tries}`;
    const text = written(operation.intents);
    return el(
      "li",
      {},
      text === ""
        ? el("span", {}, reason)
        : el("details", {}, el("summary", {}, reason), el("blockquote", {}, text)),
      button("Try again", "quiet", () => this.#actions.retry(operation.seq), "Try this refused edit again"),
      button("Dismiss", "quiet", () => this.#actions.discard(operation.seq), "Dismiss this refused edit"),
    );
  }
}

/** What the person wrote, to be read and copied before it goes: the texts that the operation would have set. */
function written(intents: readonly unknown[]): string {
  const fields = (intents as readonly { put?: object; set?: object }[]).flatMap(({ put, set }) =>
    Object.entries({ ...put, ...set }),
  );
  return fields
    .filter(([name, value]) => (name === "title" || name === "note") && typeof value === "string")
    .map(([, value]) => value as string)
    .join("\n");
}
