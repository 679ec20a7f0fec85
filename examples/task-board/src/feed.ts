import type { TopicEvent } from "@webwaka/realtime";

import { fetchToken } from "./account.js";
import type { BoardClient } from "./cards.js";
import { el } from "./dom.js";
import type { Attempt } from "./outcomes.js";
import { moment } from "./words.js";

/** What somebody said to everyone. */
interface Said {
  readonly who: string;
  readonly text: string;
  readonly at: number;
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
  readonly #list = el("ol", { class: "feed-list", role: "log", "aria-label": "What was said" });
  readonly #over = new AbortController();

  constructor(client: BoardClient, name: string, attempt: Attempt) {
    this.#name = name;
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
      // What nobody heard is still in its place.
      void attempt(() => this.#say(said)).then((heard) => {
        if (heard && text.value.trim() === said) text.value = "";
      });
    });
    this.element = el("section", { class: "feed", "aria-labelledby": heading.id }, heading, form, this.#list);
    // Rejects when the board is left, or its client is closed.
    void this.#read(client, this.#over.signal).catch(() => undefined);
  }

  /** Ends the reading. */
  close(): void {
    this.#over.abort();
  }

  async #read(client: BoardClient, signal: AbortSignal): Promise<void> {
    for await (const { link } of client.statuses({ signal })) {
      // Whoever comes first makes the topic.
      if (link === "down" || !(await this.#make().catch(() => false))) continue;
      const events = client.topic<Partial<Said>>(TOPIC).subscribe({ from: "earliest", signal });
      for await (const event of events) this.#show(event);
    }
  }

  #show({ gap, data }: TopicEvent<Partial<Said>>): void {
    // What is not kept any more is older than what is shown.
    if (gap || typeof data.text !== "string") return;
    const when = typeof data.at === "number" ? moment(data.at) : "";
    const who = el("span", { class: "feed-who" }, `${String(data.who ?? "Somebody")} ${when}`);
    this.#list.prepend(el("li", {}, who, el("p", {}, data.text)));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
  }

  async #make(): Promise<boolean> {
    const answer = await this.#ask("PUT", undefined, { "stream-retention": `events=${KEPT}` });
    return answer.ok;
  }

  async #say(text: string): Promise<void> {
    const said: Said = { who: this.#name, text, at: Date.now() };
    const answer = await this.#ask("POST", JSON.stringify(said)).catch(() => undefined);
    if (!answer?.ok) throw new Error("the server was not reached, so nobody has heard it");
  }

  async #ask(method: string, body?: string, more?: Record<string, string>): Promise<Response> {
    const { signal } = this.#over;
    const authorization = `Bearer ${await fetchToken(this.#name, signal)}`;
    const headers = { authorization, "content-type": "application/json", ...more };
    return fetch(`/v1/streams/${TOPIC}`, { method, headers, signal, ...(body !== undefined && { body }) });
  }
}
