import { RealtimeError } from "@webwaka/realtime";

import { BoardView, type BoardActions } from "./board.js";
import { Cards, inColumn, toBoard, type BoardCard, type BoardClient } from "./cards.js";
import { ConflictInbox } from "./conflicts.js";
import { Feed } from "./feed.js";
import { Header } from "./header.js";
import { Notice } from "./notice.js";
import { outcomeTeller } from "./outcomes.js";
import { People } from "./people.js";
import { RejectedList } from "./rejected.js";
import { Toasts } from "./toasts.js";
import { cardName } from "./words.js";

/** Shows the board until the person wants another name, and tells how many edits then still wait. */
export function showBoard(root: Element, client: BoardClient, name: string): Promise<number> {
  return new Promise((changeName) => {
    const toasts = new Toasts();
    const cards: Cards = new Cards(
      client,
      outcomeTeller(toasts, () => cards, attempt),
    );
    const leaving = new AbortController();
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
      vote: (card) => attempt(() => cards.vote(card)),
      label: (card, label) => attempt(() => cards.label(card, label)),
      unlabel: (card, label) => attempt(() => cards.unlabel(card, label)),
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
        if (onlyHere(client)) {
          toasts.show("Edits that live only in this tab would be lost. They have to be sent first.");
          return;
        }
        leaving.abort();
        live.close();
        notice.close();
        feed.close();
        changeName(client.status.pending);
      },
    });
    const rejected = new RejectedList({
      retry: (seq) => void attempt(async () => void (await client.operation(seq).retry())),
      discard: (seq) => client.discard(seq),
    });
    const notice = new Notice(client, attempt);
    const feed = new Feed(client, name, attempt);
    const conflicts = new ConflictInbox(name, (seq, choice) =>
      attempt(async () => void (await client.resolve(seq, choice))),
    );
    const view = new BoardView(actions);
    const people = new People(client, name, view.element, leaving.signal);
    const showStatus = () => {
      header.show(client.status);
      conflicts.show(client.conflicts());
      rejected.show(client.rejected(), (id) => board.find((card) => card.id === id)?.title);
      feed.refused(client.rejectedEvents());
    };
    const live = cards.live();
    const showCards = () => {
      board = toBoard(live.getSnapshot());
      view.show(board);
    };
    live.subscribe(showCards);
    leaving.signal.addEventListener("abort", client.subscribe(showStatus));
    const warn = (event: BeforeUnloadEvent) => {
      if (onlyHere(client)) event.preventDefault();
    };
    addEventListener("beforeunload", warn, { signal: leaving.signal });
    root.replaceChildren(
      header.element,
      rejected.element,
      conflicts.element,
      notice.element,
      people.element,
      view.element,
      feed.element,
      toasts.element,
    );
    showStatus();
    showCards();
  });
}

/** Whether there are edits that end with this tab. */
function onlyHere({ status }: BoardClient): boolean {
  return !status.durable && status.pending > 0;
}
