import { el } from "./dom.js";

/** How long after the last key what was typed is saved by itself. */
const IDLE = 800;

export interface EditableOptions {
  readonly label: string;
  readonly className: string;
  readonly placeholder?: string;
  /** Whether Enter starts a new line, and whether nothing is a value. */
  readonly multiline: boolean;
  readonly maxLength: number;
  /** Gives `true` once saved; otherwise the text stays in the field, marked as not saved. */
  readonly save: (value: string) => Promise<boolean>;
}

/** Text that is edited where it stands, saved when left, on Enter and after a pause. Escape takes back what is not saved. */
export class Editable {
  readonly element: HTMLTextAreaElement;
  readonly #options: EditableOptions;
  /** The value last shown or saved: what differs from it is not saved yet. */
  #saved = "";
  #saving = 0;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EditableOptions) {
    this.#options = options;
    this.element = el("textarea", {
      class: options.className,
      rows: "1",
      "aria-label": options.label,
      placeholder: options.placeholder,
      maxlength: String(options.maxLength),
      spellcheck: "true",
    });
    this.element.addEventListener("input", () => this.#typed());
    this.element.addEventListener("blur", () => void this.#save());
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows a value, unless something else is being typed or saved: that will replace it anyway. */
  show(value: string): void {
    if (this.#saving > 0 || this.#changed()) return;
    // A space at the end is on its way to the next word.
    if (this.#focused() && this.element.value.trimEnd() === value) return;
    this.#saved = value;
    if (this.element.value !== value) this.element.value = value;
  }

  #focused(): boolean {
    return document.activeElement === this.element;
  }

  #changed(): boolean {
    return this.element.value !== this.#saved;
  }

  #typed(): void {
    if (!this.#options.multiline && this.element.value.includes("\n")) {
      this.element.value = this.element.value.replace(/\s*\n\s*/g, " ");
    }
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#save(), IDLE);
  }

  #key(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Escape") this.element.value = this.#saved;
    const done =
      event.key === "Escape" || (event.key === "Enter" && (!this.#options.multiline || event.ctrlKey));
    if (!done) return;
    event.preventDefault();
    this.element.blur();
  }

  async #save(): Promise<void> {
    clearTimeout(this.#idle);
    if (!this.#options.multiline && this.element.value.trim() === "") {
      // A title that is being retyped is empty for a moment; one that is left empty was not meant.
      if (!this.#focused()) this.element.value = this.#saved;
      return;
    }
    if (!this.#changed()) return;
    const before = this.#saved;
    const value = this.element.value;
    this.#saved = value;
    this.#saving += 1;
    const saved = await this.#options.save(value);
    this.#saving -= 1;
    if (!saved) this.#saved = before;
    this.element.toggleAttribute("data-unsaved", !saved);
  }
}
