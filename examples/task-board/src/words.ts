import type { Status } from "@webwaka/realtime";

/** The state of the link in plain words. */
export function linkWords(status: Status, starting: boolean): string {
  switch (status.link) {
    case "up":
      return "Live";
    case "degraded":
      return "Slow lane: over plain HTTP";
    case "down":
      if (status.network && starting) return "Connecting…";
      return status.durable
        ? "Offline – edits are kept on this device"
        : "Offline – edits are kept in this tab";
  }
}

/** What is saved where. It never says more than the client promises. */
export function savedWords(status: Status): string {
  const { pending } = status;
  if (!status.durable) {
    const waiting = pending === 0 ? "" : ` (${edits(pending)} waiting to be sent)`;
    return `This browser does not let us save: edits live only in this tab${waiting}`;
  }
  if (pending === 0) return "Everything is on the server";
  return `${edits(pending)} saved on this device, waiting to be sent`;
}

/** "1 edit", "3 edits". */
export function edits(count: number): string {
  return count === 1 ? "1 edit" : `${count} edits`;
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
