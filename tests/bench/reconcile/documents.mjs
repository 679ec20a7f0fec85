/** The documents of every part: about 250 bytes of JSON each, ids in order. */
export function document(index) {
  return {
    title: `Call the clinic in Ikeja about the cold boxes (${index})`,
    note: "Ask for the manager, and for the key of the back room. The driver comes at nine; he needs the papers signed.",
    column: ["todo", "doing", "done"][index % 3],
    order: index * 1024,
    owner: `agent-${index % 40}`,
  };
}

export const id = (index) => `card-${String(index).padStart(6, "0")}`;

/** Pairs of id and document, from one index to before another. */
export function* documents(from, to) {
  for (let index = from; index < to; index += 1) yield [id(index), document(index)];
}
