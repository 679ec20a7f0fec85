import { NAME_LIMIT } from "./account.js";
import { button, el } from "./dom.js";
import { edits } from "./words.js";

/** Who was there before, and how many of their edits wait on this device. */
interface Before {
  readonly name: string;
  readonly waiting: number;
}

/** Asks who is there, in place of the board. */
export function askName(root: Element, before?: Before): Promise<string> {
  return new Promise((resolve) => {
    const input = el("input", {
      id: "name",
      name: "name",
      required: true,
      maxlength: String(NAME_LIMIT),
      autocomplete: "nickname",
      enterkeyhint: "go",
    });
    input.value = before?.name ?? "";
    const form = el(
      "form",
      { class: "gate" },
      el("h1", {}, "Task board"),
      el("p", {}, "A shared board that keeps working without a network."),
      el("label", { for: "name" }, "What shall we call you?"),
      input,
      before && before.waiting > 0 ? el("p", {}, waitingWords(before)) : undefined,
      el("button", { class: "primary" }, "Open the board"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = input.value.trim();
      if (name) resolve(name);
    });
    root.replaceChildren(form);
    input.select();
  });
}

/** Says something in place of the board, with a way on where there is one. */
export function notice(root: Element, title: string, text: string, again?: () => void): void {
  root.replaceChildren(
    el(
      "div",
      { class: "gate", role: "status" },
      el("h1", {}, title),
      el("p", {}, text),
      again ? button("Try again", "primary", again) : undefined,
    ),
  );
}

function waitingWords({ name, waiting }: Before): string {
  const wait = waiting === 1 ? "waits" : "wait";
  return `${edits(waiting)} of ${name} ${wait} on this device, to be sent when ${name} opens the board again here.`;
}
