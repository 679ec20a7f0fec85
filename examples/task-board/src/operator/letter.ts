import { button, el, say } from "../dom.js";
import { moment } from "../words.js";
import type { Attempt, WholeLetter } from "./api.js";

/** What can be done with a letter. */
interface Acts {
  readonly save: (event: string) => Promise<void>;
  readonly retry: () => Promise<void>;
  readonly discard: () => Promise<void>;
}

/** What is in a dead letter, and how it came to be one: a row below the letter's own. */
export class LetterView {
  readonly id: string;
  readonly element: HTMLTableRowElement;

  constructor(letter: WholeLetter, acts: Acts) {
    this.id = letter.id;
    this.element = el(
      "tr",
      { class: "whole" },
      el(
        "td",
        { colspan: "5" },
        el("p", {}, whence(letter)),
        letter.base64 === undefined ? editor(letter, acts) : el("p", {}, `No JSON: ${letter.base64}`),
        attempts(letter.attempts),
        el(
          "div",
          { class: "acts" },
          button("Try this again", "primary", () => void acts.retry()),
          button("Discard this", "quiet", () => void acts.discard()),
        ),
      ),
    );
  }
}

function whence({ position, subject, topic, collection, document }: WholeLetter): string {
  if (position !== undefined) return `Position ${position}`;
  const place = topic === undefined ? `document ${collection}/${document}` : `topic ${topic}`;
  return `Of ${subject}, for the ${place}`;
}

function editor(letter: WholeLetter, acts: Acts): HTMLFormElement {
  const text = el("textarea", { id: "event", rows: "8", spellcheck: "false" });
  const what = letter.operation === undefined ? "event" : "operation";
  text.value = JSON.stringify(letter[what], null, 2);
  const problem = el("p", { class: "failed", role: "alert" });
  const save = el("button", { class: "quiet" }, `Save the ${what}`);
  save.disabled = letter.retrying;
  const form = el("form", {}, el("label", { for: text.id }, `The ${what}`), text, problem, save);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      const value: unknown = JSON.parse(text.value);
      say(problem, "");
      void acts.save(JSON.stringify(value));
    } catch (error) {
      // The server would refuse it; what was typed stays.
      say(problem, error instanceof Error ? error.message : String(error));
    }
  });
  return form;
}

function attempts(all: readonly Attempt[]): HTMLElement {
  const item = ({ at, worker, error }: Attempt) =>
    el("li", {}, `${moment(at)}, ${worker}: ${error || "no reason given"}`);
  return el("ol", { class: "attempts", "aria-label": "Attempts" }, ...all.map(item));
}
