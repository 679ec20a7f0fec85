import * as Y from "yjs";

/** Merges two histories of single-field edits, each as one update; operations per second. */
export async function merge({ operations, documents, fields }) {
  const updates = ["ada", "bola"].map((author) => history(author, operations, documents, fields));
  const start = performance.now();
  const merged = new Y.Doc();
  for (const update of updates) Y.applyUpdate(merged, update);
  const seconds = (performance.now() - start) / 1000;
  const cards = merged.getMap("cards");
  if (cards.size !== documents) throw new Error(`${cards.size} documents after the merge`);
  return (2 * operations) / seconds;
}

function history(author, operations, documents, fields) {
  const base = new Y.Doc();
  base.clientID = 1;
  base.transact(() => {
    for (let index = 0; index < documents; index += 1) base.getMap("cards").set(`card-${index}`, new Y.Map());
  });
  const replica = new Y.Doc();
  replica.clientID = author === "ada" ? 2 : 3;
  Y.applyUpdate(replica, Y.encodeStateAsUpdate(base));
  for (let index = 0; index < operations; index += 1) {
    const card = replica.getMap("cards").get(`card-${index % documents}`);
    card.set(`field-${(index * 7) % fields}`, `${author} wrote this, number ${index}`);
  }
  return Y.encodeStateAsUpdate(replica);
}
