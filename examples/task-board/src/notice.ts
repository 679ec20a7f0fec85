import type { Collection, Live } from "@webwaka/realtime";

import type { BoardClient } from "./cards.js";
import { el } from "./dom.js";
import { Editable } from "./editable.js";
import type { Attempt } from "./outcomes.js";

/** The one notice of the board. Two who write it at one time are asked which text shall stay. */
interface NoticeText {
  text: string;
}

const ID = "board";

/** The notice above the board. */
export class Notice {
  readonly element: HTMLElement;
  readonly #notices: Collection<NoticeText>;
  readonly #live: Live<NoticeText>;
  readonly #text: Editable;

  constructor(client: BoardClient, attempt: Attempt) {
    this.#notices = client.collection<NoticeText>("notices");
    this.#text = new Editable({
      label: "Notice",
      className: "notice-text",
      placeholder: "Write something for everyone",
      multiline: true,
      maxLength: 4000,
      save: (text) => attempt(async () => void (await this.#notices.update(ID, { text }))),
    });
    const heading = el("h2", { id: "notice" }, "Notice");
    this.element = el(
      "section",
      { class: "notice", "aria-labelledby": heading.id },
      heading,
      this.#text.element,
    );
    this.#live = this.#notices.live({ from: ID, limit: 1 });
    this.#live.subscribe(() => this.#show());
    this.#show();
  }

  /** Ends the following of the notice. */
  close(): void {
    this.#live.close();
  }

  #show(): void {
    const [document] = this.#live.getSnapshot();
    const text: unknown = document?.id === ID ? document.value.text : "";
    this.#text.show(typeof text === "string" ? text : "");
    this.element.classList.toggle("pending", document?.pending ?? false);
  }
}
