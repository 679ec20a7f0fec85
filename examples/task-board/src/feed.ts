import type { TopicEvent } from "@webwaka/realtime";

import { fetchToken } from "./account.js";
import type { BoardClient } from "./cards.js";
import { el } from "./dom.js";
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
  readonly #list = el("ol", { class: "feed-list", role: "log", "aria-label": "What was said" });
  readonly #over = new AbortController();

  constructor(client: BoardClient, name: string, attempt: Attempt) {
    this.#name = name;
    this.#client = client;
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
    this.element = el("section", { class: "feed", "aria-labelledby": heading.id }, heading, form, this.#list);
    // Rejects when the board is left, or its client is closed.
    void this.#read(this.#over.signal).catch(() => undefined);
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
