import type { Card, Cards, Follow } from "./cards.js";
import type { Toasts } from "./toasts.js";
import { cardName, fieldWords } from "./words.js";

/** Tells what became of edits that met someone else's, and offers the way back. */
export function outcomeTeller(toasts: Toasts, cards: () => Cards, attempt: Attempt): Follow {
  return (operation, card, edit) => {
    void tell();

    async function tell(): Promise<void> {
      // Rejects only when the client is closed: the next one finds the operation in its outbox.
      const outcome = await operation.outcome().catch(() => undefined);
      if (outcome?.type === "merged") lost(outcome.lost);
      else if (outcome?.type === "superseded") {
        if (await cards().has(card.id)) lost(Object.keys(edit));
        else deleted();
      }
    }

    function lost(fields: readonly string[]): void {
      const words = fieldWords(fields);
      // Where a card stands in its column is not worth a word.
      if (words === undefined) return;
      const mine = Object.fromEntries(Object.entries(edit).filter(([field]) => fields.includes(field)));
      toasts.show(
        `Someone else changed ${words} of ${cardName(card.title)} at the same time; theirs stayed.`,
        {
          label: "Use mine",
          run: () => void attempt(() => cards().edit(card, mine as Partial<Card>)),
        },
      );
    }

    function deleted(): void {
      toasts.show(`${cardName(card.title)} was deleted by someone else, and your edit of it with it.`, {
        label: "Bring it back",
        run: () => void attempt(() => cards().restore(card, edit)),
      });
    }
  };
}

/** Runs something that saves; where it could not, tells the person and gives `false`. */
export type Attempt = (save: () => Promise<void>) => Promise<boolean>;
