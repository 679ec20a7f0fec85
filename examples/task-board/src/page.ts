import { RealtimeError } from "@webwaka/realtime";

import { BoardView, type BoardActions } from "./board.js";
import { Cards, inColumn, toBoard, type BoardCard, type BoardClient } from "./cards.js";
import { Header } from "./header.js";
import { outcomeTeller } from "./outcomes.js";
import { RejectedList } from "./rejected.js";
import { Toasts } from "./toasts.js";
import { cardName } from "./words.js";

/** Shows the board until the person wants another name. */
export function showBoard(root: Element, client: BoardClient, name: string): Promise<void> {
  return new Promise((changeName) => {
    const toasts = new Toasts();
    const cards: Cards = new Cards(
      client,
      outcomeTeller(toasts, () => cards, attempt),
    );
    let board: readonly BoardCard[] = [];

    async function attempt(save: () => Promise<void>): Promise<boolean> {
      try {
        await save();
        return true;
      } catch (error) {
        const reason = error instanceof RealtimeError ? error.message : String(error);
        toasts.show(`This could not be saved: ${reason}`);
        return false;
      }
    }

    const actions: BoardActions = {
      add: (title, column) => attempt(() => cards.add(title, column, board)),
      edit: (card, edit) => attempt(() => cards.edit(card, edit)),
      move: (card, column) => attempt(() => cards.place(card, column, undefined, board)),
      drop: (card, column, before) => attempt(() => cards.place(card, column, before, board)),
      nudge: async (card, by) => {
        const column = inColumn(board, card.column).map(({ id }) => id);
        const to = column.indexOf(card.id) + by;
        if (to < 0 || to >= column.length) return true;
        const before = by < 0 ? column[to] : column[to + 1];
        return attempt(() => cards.place(card, card.column, before, board));
      },
      remove: async (card) => {
        const gone = await attempt(() => cards.remove(card));
        const undo = { label: "Undo", run: () => void attempt(() => cards.restore(card)) };
        if (gone) toasts.show(`${cardName(card.title)} is deleted.`, undo);
        return gone;
      },
    };

    const header = new Header(name, client.status, {
      setNetwork: (allowed) => client.setNetwork(allowed),
      changeName: () => {
        unsubscribe();
        live.close();
        changeName();
      },
    });
    const rejected = new RejectedList((seq) => client.discard(seq));
    const view = new BoardView(actions);
    const showStatus = () => {
      header.show(client.status);
      rejected.show(client.rejected(), (id) => board.find((card) => card.id === id)?.title);
    };
    const live = cards.live();
    const showCards = () => {
      board = toBoard(live.getSnapshot());
      view.show(board);
    };
    live.subscribe(showCards);
    const unsubscribe = client.subscribe(showStatus);
    root.replaceChildren(header.element, rejected.element, view.element, toasts.element);
    showStatus();
    showCards();
  });
}
