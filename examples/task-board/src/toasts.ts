import { button, el } from "./dom.js";

interface Action {
  readonly label: string;
  readonly run: () => void;
}

const SHOWN_FOR = 8_000;
/** Older ones make room, so that a long list of outcomes after a reconnect does not cover the board. */
const AT_ONCE = 3;

/** Short messages at the foot of the page that go by themselves. */
export class Toasts {
  readonly element = el("div", { class: "toasts", role: "status", "aria-live": "polite" });

  show(text: string, action?: Action): void {
    const toast = el("div", { class: "toast" }, el("span", {}, text));
    const gone = () => toast.remove();
    let timer = setTimeout(gone, SHOWN_FOR);
    // Whoever is about to press the button keeps it.
    const hold = () => clearTimeout(timer);
    const release = () => (timer = setTimeout(gone, SHOWN_FOR / 2));
    toast.addEventListener("pointerenter", hold);
    toast.addEventListener("pointerleave", release);
    toast.addEventListener("focusin", hold);
    toast.addEventListener("focusout", release);
    if (action) {
      toast.append(
        button(action.label, "toast-action", () => {
          gone();
          action.run();
        }),
      );
    }
    toast.append(button("×", "toast-close", gone, "Close this message"));
    this.element.append(toast);
    while (this.element.childElementCount > AT_ONCE) this.element.firstElementChild?.remove();
  }
}
