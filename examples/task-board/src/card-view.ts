import { COLUMNS, type BoardCard, type Card, type ColumnId } from "./cards.js";
import { button, el, say } from "./dom.js";
import { Editable } from "./editable.js";
import { Labels } from "./labels.js";
import { cardName, votes } from "./words.js";

/** What a card lets people do. Each gives `true` once it is saved on this device, `false` if it could not be. */
export interface CardActions {
  edit(card: BoardCard, edit: Partial<Card>): Promise<boolean>;
  /** Into a column, at its end. */
  move(card: BoardCard, column: ColumnId): Promise<boolean>;
  /** One up or down in its column. */
  nudge(card: BoardCard, by: -1 | 1): Promise<boolean>;
  vote(card: BoardCard): Promise<boolean>;
  label(card: BoardCard, label: string): Promise<boolean>;
  unlabel(card: BoardCard, label: string): Promise<boolean>;
  remove(card: BoardCard): Promise<boolean>;
}

/** One card of the board, kept for as long as the card exists so that typing in it is never disturbed. */
export class CardView {
  readonly element: HTMLLIElement;
  #card: BoardCard;
  readonly #title: Editable;
  readonly #note: Editable;
  readonly #labels: Labels;
  readonly #vote: HTMLButtonElement;
  readonly #back: HTMLButtonElement;
  readonly #on: HTMLButtonElement;
  readonly #up: HTMLButtonElement;
  readonly #down: HTMLButtonElement;
  readonly #waiting = el("span", { class: "waiting" });

  constructor(card: BoardCard, actions: CardActions) {
    this.#card = card;
    this.#title = new Editable({
      label: "Title",
      className: "card-title",
      multiline: false,
      maxLength: 200,
      save: (title) => actions.edit(this.#card, { title: title.trim() }),
    });
    this.#note = new Editable({
      label: "Note",
      className: "card-note",
      placeholder: "Add a note",
      multiline: true,
      maxLength: 4000,
      save: (note) => actions.edit(this.#card, { note }),
    });
    this.#labels = new Labels({
      add: (label) => actions.label(this.#card, label),
      remove: (label) => actions.unlabel(this.#card, label),
    });
    this.#vote = button("", "vote", () => void actions.vote(this.#card));
    this.#back = button("", "move", () => this.#step(-1, actions));
    this.#on = button("", "move", () => this.#step(1, actions));
    this.#up = button("↑", "icon", () => void actions.nudge(this.#card, -1), "Move up");
    this.#down = button("↓", "icon", () => void actions.nudge(this.#card, 1), "Move down");
    this.element = el(
      "li",
      { class: "card", draggable: "true" },
      this.#title.element,
      this.#note.element,
      this.#labels.element,
      this.#waiting,
      el(
        "div",
        { class: "card-actions" },
        this.#vote,
        this.#back,
        this.#on,
        el("span", { class: "gap" }),
        this.#up,
        this.#down,
        button("×", "icon delete", () => void actions.remove(this.#card), "Delete this card"),
      ),
    );
    // Selecting text in a field must not drag the card.
    for (const { element } of [this.#title, this.#note]) {
      element.addEventListener("focus", () => (this.element.draggable = false));
      element.addEventListener("blur", () => (this.element.draggable = true));
    }
    this.show(card);
  }

  get card(): BoardCard {
    return this.#card;
  }

  show(card: BoardCard): void {
    this.#card = card;
    this.#title.show(card.title);
    this.#note.show(card.note);
    this.#labels.show(card.labels);
    say(this.#vote, `▲ ${card.votes}`);
    this.#vote.setAttribute("aria-label", `Vote for this card, which has ${votes(card.votes)}`);
    this.element.dataset["card"] = card.id;
    this.element.setAttribute("aria-label", cardName(card.title));
    this.element.classList.toggle("pending", card.pending);
    say(this.#waiting, card.pending ? "Not on the server yet" : "");
    const index = indexOf(card.column);
    neighbour(this.#back, COLUMNS[index - 1], (name) => `← ${name}`);
    neighbour(this.#on, COLUMNS[index + 1], (name) => `${name} →`);
  }

  /** Tells the card where it stands, so that it offers no way that leads nowhere. */
  standsAt(index: number, count: number): void {
    const focused = document.activeElement;
    this.#up.hidden = index === 0;
    this.#down.hidden = index === count - 1;
    // Whoever moves a card by the keyboard as far as it goes stays on the card.
    if (focused === this.#up && this.#up.hidden) this.#down.focus();
    if (focused === this.#down && this.#down.hidden) this.#up.focus();
  }

  #step(by: -1 | 1, actions: CardActions): void {
    const column = COLUMNS[indexOf(this.#card.column) + by];
    if (column) void actions.move(this.#card, column.id);
  }
}

function indexOf(id: ColumnId): number {
  return COLUMNS.findIndex((column) => column.id === id);
}

function neighbour(
  press: HTMLButtonElement,
  column: { name: string } | undefined,
  text: (name: string) => string,
): void {
  press.hidden = column === undefined;
  if (!column) return;
  say(press, text(column.name));
  press.setAttribute("aria-label", `Move to ${column.name}`);
}
