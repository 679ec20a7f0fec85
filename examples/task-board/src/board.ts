import { CardView, type CardActions } from "./card-view.js";
import { COLUMNS, inColumn, type BoardCard, type ColumnId } from "./cards.js";
import { arrange, button, el, say } from "./dom.js";

/** What the board lets people do beyond a single card. */
export interface BoardActions extends CardActions {
  add(title: string, column: ColumnId): Promise<boolean>;
  /** Into a column, before a card or at the end. */
  drop(card: BoardCard, column: ColumnId, before: string | undefined): Promise<boolean>;
}

/** The three columns. */
export class BoardView {
  readonly element = el("main", { class: "board" });
  readonly #columns: readonly ColumnView[];
  readonly #cards = new Map<string, CardView>();
  readonly #actions: BoardActions;

  constructor(actions: BoardActions) {
    this.#actions = actions;
    const drop = (id: string, column: ColumnId, before: string | undefined) => {
      const view = this.#cards.get(id);
      if (view) void actions.drop(view.card, column, before);
    };
    this.#columns = COLUMNS.map(({ id, name }) => new ColumnView(id, name, actions, drop));
    this.element.append(...this.#columns.map((column) => column.element));
  }

  show(board: readonly BoardCard[]): void {
    const ids = new Set(board.map((card) => card.id));
    for (const id of [...this.#cards.keys()]) if (!ids.has(id)) this.#cards.delete(id);
    for (const card of board) {
      const view = this.#cards.get(card.id);
      if (view) view.show(card);
      else this.#cards.set(card.id, new CardView(card, this.#actions));
    }
    for (const column of this.#columns) {
      const cards = inColumn(board, column.id);
      column.show(cards.flatMap((card) => this.#cards.get(card.id) ?? []));
    }
  }
}

class ColumnView {
  readonly element: HTMLElement;
  readonly #list = el("ul", { class: "cards" });
  readonly #count = el("span", { class: "count" });

  constructor(
    readonly id: ColumnId,
    name: string,
    actions: BoardActions,
    drop: (card: string, column: ColumnId, before: string | undefined) => void,
  ) {
    const heading = el("h2", { id: `column-${id}` }, name);
    this.element = el(
      "section",
      { class: "column", "aria-labelledby": heading.id, "data-column": id },
      el("div", { class: "column-head" }, heading, this.#count),
      this.#list,
      composer(name, (title) => actions.add(title, id)),
    );
    this.#acceptDrops(drop);
  }

  show(cards: readonly CardView[]): void {
    arrange(
      this.#list,
      cards.map((card) => card.element),
    );
    cards.forEach((card, index) => card.standsAt(index, cards.length));
    say(this.#count, String(cards.length));
  }

  #acceptDrops(drop: (card: string, column: ColumnId, before: string | undefined) => void): void {
    this.element.addEventListener("dragstart", (event) => {
      const card = event.target instanceof HTMLElement ? event.target.dataset["card"] : undefined;
      if (card) event.dataTransfer?.setData(CARD, card);
    });
    this.element.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes(CARD)) return;
      event.preventDefault();
      this.element.classList.add("over");
    });
    this.element.addEventListener("dragleave", (event) => {
      if (!(event.relatedTarget instanceof Node && this.element.contains(event.relatedTarget))) {
        this.element.classList.remove("over");
      }
    });
    this.element.addEventListener("drop", (event) => {
      const card = event.dataTransfer?.getData(CARD);
      this.element.classList.remove("over");
      if (!card) return;
      event.preventDefault();
      drop(card, this.id, this.#cardBelow(event.clientY));
    });
  }

  #cardBelow(y: number): string | undefined {
    for (const child of this.#list.children) {
      const { top, height } = child.getBoundingClientRect();
      if (y < top + height / 2) return (child as HTMLElement).dataset["card"];
    }
    return undefined;
  }
}

/** Kind of the data that is dragged: nothing but this page's own cards can be dropped. */
const CARD = "application/x-task-board-card";

/** "Add a card", which turns into a field that stays open for the next one. */
function composer(column: string, add: (title: string) => Promise<boolean>): HTMLElement {
  const title = el("input", {
    class: "composer-title",
    "aria-label": `Title of the new card in ${column}`,
    placeholder: "What is to be done?",
    maxlength: "200",
    enterkeyhint: "done",
    autocomplete: "off",
  });
  const form = el(
    "form",
    { class: "composer", hidden: true },
    title,
    el("button", { class: "primary" }, "Add"),
  );
  const open = button("+ Add a card", "composer-open", () => show(true), `Add a card to ${column}`);
  const show = (writing: boolean) => {
    form.hidden = !writing;
    open.hidden = writing;
    (writing ? title : open).focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = title.value.trim();
    if (!text) return;
    title.value = "";
    title.focus();
    // What could not be saved goes back to where it can be tried again.
    void add(text).then((saved) => {
      if (!saved) title.value ||= text;
    });
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") show(false);
  });
  form.addEventListener("focusout", (event) => {
    if (!title.value && !(event.relatedTarget instanceof Node && form.contains(event.relatedTarget))) {
      form.hidden = true;
      open.hidden = false;
    }
  });
  return el("div", { class: "composer-slot" }, form, open);
}
