import type { Client, Collection, Doc, Operation } from "@webwaka/realtime";

export const COLUMNS = [
  { id: "todo", name: "To do" },
  { id: "doing", name: "Doing" },
  { id: "done", name: "Done" },
] as const;

export type ColumnId = (typeof COLUMNS)[number]["id"];

/** A card as it is stored, field by field. */
export interface Card {
  title: string;
  note: string;
  column: ColumnId;
  /** Where it stands in its column: smaller is further up. */
  order: number;
  /** Counted, so that votes given apart add up. */
  votes: number;
  /** A set, so that labels put on apart are all there. */
  labels: string[];
}

/** A card as it is shown. */
export interface BoardCard extends Card {
  readonly id: string;
  readonly pending: boolean;
}

/** Distance between neighbours, which leaves room to put others between. */
const STEP = 1024;

/** The collections of the board; all clients of the board name them alike. */
export const COLLECTIONS = { cards: "fieldLevel", notices: "manual" } as const;

export type BoardClient = Client<typeof COLLECTIONS>;

/** What became of an edit of a card once the server has settled it. */
export type Follow = (operation: Operation, card: BoardCard, edit: Partial<Card>) => void;

/** The cards of the board and all that can be done to them. Each change resolves once it is saved on this device. */
export class Cards {
  readonly #cards: Collection<Card>;
  readonly #follow: Follow;

  constructor(client: BoardClient, follow: Follow) {
    this.#cards = client.collection<Card>("cards");
    this.#follow = follow;
  }

  live() {
    return this.#cards.live();
  }

  async has(id: string): Promise<boolean> {
    return (await this.#cards.get(id)) !== undefined;
  }

  async add(title: string, column: ColumnId, board: readonly BoardCard[]): Promise<void> {
    const order = between(inColumn(board, column).at(-1)?.order, undefined);
    await this.#cards.put(crypto.randomUUID(), { title, note: "", column, order, votes: 0, labels: [] });
  }

  async edit(card: BoardCard, edit: Partial<Card>): Promise<void> {
    const operation = await this.#cards.update(card.id, edit);
    this.#follow(operation, card, edit);
  }

  async vote(card: BoardCard): Promise<void> {
    await this.#cards.increment(card.id, { votes: 1 });
  }

  async label(card: BoardCard, label: string): Promise<void> {
    await this.#cards.add(card.id, { labels: [label] });
  }

  async unlabel(card: BoardCard, label: string): Promise<void> {
    await this.#cards.remove(card.id, { labels: [label] });
  }

  /** Puts a card into a column, before another card or, without one, at the end. */
  async place(card: BoardCard, column: ColumnId, before: string | undefined, board: readonly BoardCard[]) {
    const others = inColumn(board, column).filter((other) => other.id !== card.id);
    const found = others.findIndex((other) => other.id === before);
    const index = found < 0 ? others.length : found;
    const order = between(others[index - 1]?.order, others[index]?.order);
    await this.edit(card, card.column === column ? { order } : { column, order });
  }

  async remove(card: BoardCard): Promise<void> {
    await this.#cards.delete(card.id);
  }

  /** Brings a deleted card back: whoever knows of a deletion may write the document again. */
  async restore(card: BoardCard, edit: Partial<Card> = {}): Promise<void> {
    const { title, note, column, order, votes, labels } = { ...card, ...edit };
    await this.#cards.put(card.id, { title, note, column, order, votes, labels });
  }
}

/** The cards of one column from top to bottom. */
export function inColumn(board: readonly BoardCard[], column: ColumnId): BoardCard[] {
  return board.filter((card) => card.column === column);
}

/** What is stored, made fit to be shown: another program may have written a card without all of its fields. */
export function toBoard(documents: readonly Doc<Partial<Card>>[]): BoardCard[] {
  const board = documents.map(({ id, value, pending }) => ({
    id,
    pending,
    title: typeof value.title === "string" ? value.title : "",
    note: typeof value.note === "string" ? value.note : "",
    column: COLUMNS.find((column) => column.id === value.column)?.id ?? COLUMNS[0].id,
    order: typeof value.order === "number" ? value.order : 0,
    votes: typeof value.votes === "number" ? value.votes : 0,
    labels: Array.isArray(value.labels) ? value.labels.filter((label) => typeof label === "string") : [],
  }));
  // Two devices may choose the same place while apart; the id then decides, everywhere alike.
  return board.sort((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1));
}

function between(above: number | undefined, below: number | undefined): number {
  if (above === undefined) return below === undefined ? 0 : below - STEP;
  return below === undefined ? above + STEP : (above + below) / 2;
}
