// Takes the picture of the board that the documentation shows: `npm run picture`.

import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { board } from "./harness/board.mjs";
import { browser } from "./harness/browser.mjs";
import { server } from "./harness/server.mjs";

const folder = fileURLToPath(new URL("../../docs/images/", import.meta.url));

test("the picture of the board", async (t) => {
  const host = await server(t);
  const tab = await (await browser(t)).tab();
  await tab.setViewportSize({ width: 1120, height: 830 });
  const ada = await board(tab, host.url(), "Ada");
  await ada.add("todo", "Call the clinic in Ikeja about the cold boxes", "Order airtime for the riders");
  await ada.add("doing", "Count the stock at Balogun market");
  await ada.add("done", "Print the new price lists", "Train two new agents");
  await ada.setNote(
    "Count the stock at Balogun market",
    "Shelves A to D are done.\nAsk Chidi for the key of the back room.",
  );
  await ada.setNote("Train two new agents", "Both passed.");
  await ada.setNotice("The shop opens at ten on Monday.");
  await ada.addLabel("Count the stock at Balogun market", "stock");
  await ada.addLabel("Order airtime for the riders", "urgent");
  for (let vote = 0; vote < 3; vote++) await ada.vote("Order airtime for the riders");
  await ada.untilSaved("Everything is on the server");
  await ada.network(false);
  await ada.untilLink("Offline");
  await ada.move("Order airtime for the riders", "Doing");
  await ada.setNote("Order airtime for the riders", "Two riders waited an hour.");
  await ada.untilSaved("1 edit saved on this device, waiting to be sent");
  await tab.mouse.move(0, 820);
  mkdirSync(folder, { recursive: true });
  await tab.screenshot({ path: `${folder}board.png` });
});
