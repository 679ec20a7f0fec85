import assert from "node:assert/strict";
import test from "node:test";
import type { Collection, Increments, Members } from "../src/types.js";
import { settled, shown, start } from "./setup.js";

interface Card {
  title: string;
  likes?: number;
  tags?: string[];
}

test("counting and sets travel as what is to be done, not as what comes of it", async () => {
  const { client, engine } = await start();
  const cards = client.collection<Card>("cards");
  void cards.increment("a", { likes: 1 });
  void cards.add("a", { tags: ["x"] });
  void cards.remove("a", { tags: ["y"] });
  await settled();
  assert.deepEqual(
    engine.called("submit").map((call) => call[4]),
    ['[{"increment":{"likes":1}}]', '[{"add":{"tags":["x"]}}]', '[{"remove":{"tags":["y"]}}]'],
  );
});

/** What is put when a change of a document that is written whole has read the document. */
async function written(
  change: (notes: Collection<Card>) => Promise<unknown>,
  fields: Record<string, unknown> | undefined,
): Promise<unknown> {
  const { client, engine } = await start();
  const changing = change(client.collection<Card>("notes"));
  changing.catch(() => {});
  const query = engine.last("openQuery");
  engine.views.set(query, { loaded: true, documents: fields ? [shown("a", fields)] : [] });
  engine.emit({ viewChanged: query });
  await settled();
  const [call] = engine.called("submit");
  return call ? JSON.parse(call[4] as string) : changing;
}

test("where documents are written whole, they are put with the sum and the set", async () => {
  const seen = { title: "A", likes: 2, tags: ["x", "y"] };
  assert.deepEqual(await written((notes) => notes.increment("a", { likes: -3 }), seen), [
    { put: { ...seen, likes: -1 } },
  ]);
  assert.deepEqual(await written((notes) => notes.add("a", { tags: ["y", "z", "z"] }), seen), [
    { put: { ...seen, tags: ["x", "y", "z"] } },
  ]);
  assert.deepEqual(await written((notes) => notes.remove("a", { tags: ["x", "q"] }), seen), [
    { put: { ...seen, tags: ["y"] } },
  ]);
  assert.deepEqual(await written((notes) => notes.increment("a", { likes: 1 }), undefined), [
    { put: { likes: 1 } },
  ]);
  const odd = { title: "A", likes: "many", tags: "x" };
  await assert.rejects(
    written((notes) => notes.increment("a", { likes: 1 }), odd),
    {
      code: "invalid_operation",
    },
  );
  await assert.rejects(
    written((notes) => notes.add("a", { tags: ["x"] }), odd),
    {
      code: "invalid_operation",
    },
  );
});

test("only numbers count, and only lists are sets, by their types", () => {
  const increments: Increments<Card>[] = [
    { likes: 1 },
    // @ts-expect-error a title is no number
    { title: 1 },
    // @ts-expect-error no such field
    { votes: 1 },
  ];
  const members: Members<Card>[] = [
    { tags: ["x"] },
    // @ts-expect-error members are texts
    { tags: [1] },
    // @ts-expect-error a number is no set
    { likes: [1] },
  ];
  // @ts-expect-error a type without numbers has nothing to count
  const none: Increments<{ title: string }> = { title: 1 };
  assert.deepEqual([increments.length, members.length, Object.keys(none)], [3, 3, ["title"]]);
});
