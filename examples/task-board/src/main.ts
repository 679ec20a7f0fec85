import { createClient } from "@webwaka/realtime";

import { fetchToken, rememberedName, rememberName } from "./account.js";
import { COLLECTIONS, type BoardClient } from "./cards.js";
import { askName, notice } from "./gate.js";
import { showBoard } from "./page.js";

const root = document.querySelector("#app");
if (root) void run(root, rememberedName());
// Where the browser refuses, the page needs the network to open; nothing else changes.
if (import.meta.env.PROD) void navigator.serviceWorker?.register("/sw.js").catch(() => {});

async function run(root: Element, name: string | undefined): Promise<void> {
  for (;;) {
    name ??= await askName(root);
    rememberName(name);
    const client = await open(root, name);
    const waiting = await showBoard(root, client, name);
    await client.close();
    name = await askName(root, { name, waiting });
  }
}

/** Opens the client of this person, which all tabs share. */
async function open(root: Element, name: string): Promise<BoardClient> {
  for (;;) {
    try {
      return await createClient({
        url: location.origin,
        token: ({ signal }) => fetchToken(name, signal),
        collections: COLLECTIONS,
        // Edits belong to who made them: each name has a storage of its own.
        name: `task-board.${encodeURIComponent(name)}`,
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      await new Promise<void>((again) => notice(root, "The board could not start", reason, again));
    }
  }
}
