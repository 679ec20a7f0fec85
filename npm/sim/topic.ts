/** The name of the topic that tabs read. */
export const TOPIC = "news";
/** Events of one page. */
const MOST = 5;
const HISTORY = "0006502a1c8a4f07";

/** A topic of the server. Its events are numbers, each that of its place, from 1; the oldest go at times. */
export class Topic {
  /** The place of the newest event. */
  head = 0;
  /** The place of the newest event that is not kept any more. */
  floor = 0;

  append(count: number): void {
    this.head += count;
  }

  trim(place: number): void {
    this.floor = Math.max(this.floor, place);
  }

  /** Where a reader begins. */
  begin(start: Record<string, unknown>): number {
    if (typeof start["after"] === "string") {
      return placeOf(start["after"]);
    }
    return "latest" in start ? this.head : this.floor;
  }

  /** What a reader is sent that has come to a place, and where it is then. */
  page(sub: number, at: number): { frame: object; to: number; more: boolean } {
    const from = Math.max(at, this.floor);
    const to = Math.min(this.head, from + MOST);
    const events = Array.from({ length: to - from }, (_, index) => from + index + 1);
    const lost = from > at && { recovered: false, missed: from - at };
    const more = to < this.head;
    return {
      frame: { events: { sub, from: position(from), to: position(to), events, ...lost, more } },
      to,
      more,
    };
  }
}

/** The place that a position names. */
export function placeOf(position: string): number {
  return Number.parseInt(position.split("_")[1] ?? "", 16);
}

function position(place: number): string {
  return `${HISTORY}_${place.toString(16).padStart(16, "0")}`;
}
