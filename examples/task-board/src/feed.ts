import type { RejectedEvent, TopicEvent } from "@webwaka/realtime";

import { fetchToken } from "./account.js";
import type { BoardClient } from "./cards.js";
import { button, el } from "./dom.js";
import type { Attempt } from "./outcomes.js";
import { moment } from "./words.js";

/** What somebody said to everyone: an event. */
interface Said {
  readonly time?: string;
  readonly data?: { readonly who?: string; readonly text?: string };
}

const TOPIC = "board/feed";
/** Events that the server keeps. */
const KEPT = 200;
/** Of these so many are shown, the newest first. */
const SHOWN = 20;

/** What people say to everyone: a topic of the server, read for as long as the board is open. */
export class Feed {
  readonly element: HTMLElement;
  readonly #name: string;
  readonly #client: BoardClient;
  readonly #attempt: Attempt;
  readonly #refused = el("section", { class: "rejected", "aria-live": "polite", hidden: true });
  #shown = "";
  readonly #list = el("ol", { class: "feed-list", role: "log", "aria-label": "What was said" });
  readonly #over = new AbortController();

  constructor(client: BoardClient, name: string, attempt: Attempt) {
    this.#name = name;
    this.#client = client;
    this.#attempt = attempt;
    const heading = el("h2", { id: "feed" }, "Feed");
    const text = el("input", {
      class: "feed-text",
      "aria-label": "Say something to everyone",
      placeholder: "Say something to everyone",
      maxlength: "500",
      enterkeyhint: "send",
      autocomplete: "off",
    });
    const form = el("form", { class: "feed-say" }, text, el("button", { class: "primary" }, "Say"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const said = text.value.trim();
      if (said === "") return;
      // What could not be saved is still in its place. What is saved everyone reads in time, and until then the header says
      // that it waits.
      void attempt(() => this.#say(said)).then((saved) => {
        if (saved && text.value.trim() === said) text.value = "";
      });
    });
    const parts = [heading, form, this.#refused, this.#list];
    this.element = el("section", { class: "feed", "aria-labelledby": heading.id }, ...parts);
    // Rejects when the board is left, or its client is closed.
    void this.#read(this.#over.signal).catch(() => undefined);
  }

  /** Shows what the server refused of what was said here. What was said since waits behind it. */
  refused(events: readonly RejectedEvent[]): void {
    const refused = events.filter(({ topic }) => topic === TOPIC);
    const key = refused.map(({ seq, attempts }) => `${seq}.${attempts}`).join();
    // Announced when it changes, not with every change of the status.
    if (key === this.#shown) return;
    this.#shown = key;
    this.#refused.hidden = refused.length === 0;
    const title = el("h3", {}, "The server refused what you said");
    this.#refused.replaceChildren(title, el("ul", {}, ...refused.map((each) => this.#entry(each))));
  }

  #entry({ seq, event, message, attempts }: RejectedEvent): HTMLLIElement {
    const { text } = (event as Said).data ?? {};
    const tries = attempts > 1 ? ` (tried ${attempts} times)` : "";
    // What cannot be saved stays in the list.
    const retry = () => void this.#attempt(async () => void (await this.#client.operation(seq).retry()));
    return el(
      "li",
      {},
      el("details", {}, el("summary", {}, `${message}${tries}`), el("blockquote", {}, String(text ?? ""))),
      button("Try again", "quiet", retry, "Try again to say this"),
      button("Discard", "quiet", () => this.#client.discard(seq), "Discard what was refused"),
    );
  }

  /** Ends the reading. */
  close(): void {
    this.#over.abort();
  }

  async #read(signal: AbortSignal): Promise<void> {
    for await (const { link } of this.#client.statuses({ signal })) {
      // Whoever comes first makes the topic.
      if (link === "down" || !(await this.#make(signal).catch(() => false))) continue;
      const events = this.#client.topic<Said>(TOPIC).subscribe({ from: "earliest", signal });
      for await (const event of events) this.#show(event);
    }
  }

  #show({ gap, data: said }: TopicEvent<Said>): void {
    const text = said?.data?.text;
    // What is not kept any more is older than what is shown.
    if (gap || typeof text !== "string") return;
    const at = Date.parse(said?.time ?? "");
    const when = Number.isNaN(at) ? "" : moment(at);
    const who = el("span", { class: "feed-who" }, `${String(said?.data?.who ?? "Somebody")} ${when}`);
    this.#list.prepend(el("li", {}, who, el("p", {}, text)));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
  }

  /** Only so many events are kept, if this is what makes the topic: what was published without a network may come first. */
  async #make(signal: AbortSignal): Promise<boolean> {
    const headers = {
      authorization: `Bearer ${await fetchToken(this.#name, signal)}`,
      "content-type": "application/json",
      "stream-retention": `events=${KEPT}`,
    };
    const answer = await fetch(`/v1/streams/${TOPIC}`, { method: "PUT", headers, signal });
    return answer.ok || answer.status === 409;
  }

  async #say(text: string): Promise<void> {
    await this.#client.topic(TOPIC).publish({ type: "board.said", data: { who: this.#name, text } });
  }
}
