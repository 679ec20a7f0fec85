import type { Status } from "@webwaka/realtime";

import { button, el, say } from "./dom.js";
import { linkWords, savedWords } from "./words.js";

/** For so long after the start a link that is not up yet is called "connecting". */
const STARTING = 3_000;

interface HeaderActions {
  setNetwork(allowed: boolean): void;
  changeName(): void;
}

/** The state of things: who, whether the network is there, and what is saved where. */
export class Header {
  readonly element: HTMLElement;
  readonly #link = el("span", { class: "link-words" });
  readonly #pill = el("p", { class: "link", role: "status" }, el("span", { class: "dot" }), this.#link);
  /** For the eye: the words beside it say the same. */
  readonly #badge = el("span", { class: "badge", "aria-hidden": "true" });
  readonly #saved = el("span", {});
  readonly #savedLine = el("p", { class: "saved", role: "status" }, this.#badge, this.#saved);
  readonly #problem = el("p", { class: "problem", role: "status" });
  readonly #network: HTMLButtonElement;
  #starting = true;
  #status: Status;

  constructor(name: string, status: Status, actions: HeaderActions) {
    this.#status = status;
    this.#network = el(
      "button",
      { type: "button", class: "switch", role: "switch", "aria-label": "Network" },
      el("span", { class: "track", "aria-hidden": "true" }),
      "Network",
    );
    this.#network.addEventListener("click", () => actions.setNetwork(!this.#status.network));
    this.element = el(
      "header",
      {},
      el(
        "div",
        { class: "bar" },
        el("h1", {}, "Task board"),
        el(
          "div",
          { class: "controls" },
          this.#pill,
          this.#network,
          button(name, "who", () => actions.changeName(), `You are ${name}. Change the name`),
        ),
      ),
      this.#savedLine,
      this.#problem,
    );
    setTimeout(() => {
      this.#starting = false;
      this.show(this.#status);
    }, STARTING);
    this.show(status);
  }

  show(status: Status): void {
    this.#status = status;
    this.#pill.dataset["link"] = status.link;
    say(this.#link, linkWords(status, this.#starting));
    this.#network.setAttribute("aria-checked", String(status.network));
    this.#savedLine.dataset["saved"] = !status.durable ? "nowhere" : status.pending > 0 ? "here" : "there";
    say(this.#saved, savedWords(status));
    say(this.#badge, status.pending > 0 ? String(status.pending) : "");
    this.#badge.hidden = status.pending === 0;
    say(this.#problem, status.problem ? `The server says: ${status.problem.message}` : "");
  }
}
