import type { Page } from "./browser.js";
import type { World } from "./world.js";

/** The BroadcastChannels of the origin. Each page hears another one's messages in order, and no two at the same time. */
export class Channels {
  readonly #world: World;
  readonly #open = new Set<Line>();

  constructor(world: World) {
    this.#world = world;
  }

  /** `BroadcastChannel` of a page. */
  of(page: Page): typeof BroadcastChannel {
    const open = this.#open;
    const send = (line: Line, message: unknown) => this.#send(line, message);
    const constructor = function (name: string): Line {
      const line: Line = {
        page,
        name,
        onmessage: null,
        postMessage: (message) => send(line, message),
        close: () => void open.delete(line),
      };
      open.add(line);
      return line;
    };
    return constructor as unknown as typeof BroadcastChannel;
  }

  /** A page is no more. What it has said is still heard. */
  forget(page: Page): void {
    for (const line of this.#open) {
      if (line.page === page) {
        this.#open.delete(line);
      }
    }
  }

  #send(from: Line, message: unknown): void {
    if (!this.#open.has(from)) {
      throw new DOMException("the channel is closed", "InvalidStateError");
    }
    for (const line of this.#open) {
      if (line !== from && line.name === from.name) {
        const data: unknown = structuredClone(message);
        const { agenda, random } = this.#world;
        const delay = random.latency(random.chance(0.02) ? 3_000 : 40);
        agenda.inOrder(`${from.page.name}>${line.page.name}`, delay, () =>
          line.page.perform(() => {
            if (this.#open.has(line)) {
              this.#world.detail(() => `${from.page.name} > ${line.page.name} ${JSON.stringify(data)}`);
              line.onmessage?.({ data });
            }
          }),
        );
      }
    }
  }
}

interface Line {
  readonly page: Page;
  readonly name: string;
  onmessage: ((event: { data: unknown }) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}
