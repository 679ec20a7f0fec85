import type { Status } from "@webwaka/realtime";

/** The state of the link in plain words. */
export function linkWords(status: Status, starting: boolean): string {
  switch (status.link) {
    case "up":
      return `Live${fetching(status)}`;
    case "degraded":
      return `Slow lane: over plain HTTP${fetching(status)}`;
    case "down":
      if (status.network && starting) return "Connecting…";
      return status.durable
        ? "Offline – edits are kept on this device"
        : "Offline – edits are kept in this tab";
  }
}

/** How much of a large board is here while it is still being fetched. */
function fetching({ syncing }: Status): string {
  if (!syncing) return "";
  const { done, total } = syncing;
  return total === 0 ? " – fetching the board" : ` – fetching the board: ${done} of ${total}`;
}

/** What is saved where. It never says more than the client promises. */
export function savedWords(status: Status): string {
  const { pending, conflicts } = status;
  if (!status.durable) {
    const waiting = pending === 0 ? "" : ` (${edits(pending)} waiting to be sent)`;
    return `This browser does not let us save: edits live only in this tab${waiting}`;
  }
  if (pending === 0) return "Everything is on the server";
  const decided = pending - conflicts;
  const waiting = `${edits(decided)} saved on this device, waiting to be sent`;
  if (conflicts === 0) return waiting;
  const open = `${edits(conflicts)} saved on this device, waiting for you to decide`;
  return decided > 0 ? `${open}; ${waiting}` : open;
}

/** "1 edit", "3 edits". */
export function edits(count: number): string {
  return count === 1 ? "1 edit" : `${count} edits`;
}

/** "1 vote", "3 votes". */
export function votes(count: number): string {
  return count === 1 ? "1 vote" : `${count} votes`;
}

const FIELDS: Readonly<Record<string, string>> = {
  title: "the title",
  note: "the note",
  column: "the column",
};

/** The fields a person knows of, in words; `undefined` if there are none among them. */
export function fieldWords(fields: readonly string[]): string | undefined {
  const known = fields.flatMap((field) => FIELDS[field] ?? []);
  return known.length === 0 ? undefined : known.join(" and ");
}

/** A card's name for messages, short enough for a phone. */
export function cardName(title: string): string {
  const short = title.length > 40 ? `${title.slice(0, 39).trimEnd()}…` : title;
  return `“${short || "Untitled"}”`;
}

/** "1 conflict waits for you", "2 conflicts wait for you". */
export function conflictWords(count: number): string {
  return count === 1 ? "1 conflict waits for you" : `${count} conflicts wait for you`;
}

/** A moment, in the words of the reader's own language: the time, and the day if it is another. */
export function moment(at: number): string {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(
    undefined,
    today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" },
  );
}
