import type { Page } from "./browser.js";
import type { Session } from "./server.js";
import type { World } from "./world.js";

type Handler = ((event: { type: string; data?: string }) => void) | null;

interface Socket {
  onopen: Handler;
  onmessage: Handler;
  onclose: Handler;
  readonly bufferedAmount: number;
  send(text: string): void;
  close(): void;
}

/** One connection. Either end may think that it is there when it is not. */
class Link {
  /** Nothing gets through any more. */
  broken = false;
  session: Session | undefined;

  constructor(
    readonly page: Page,
    readonly id: number,
    readonly socket: Socket,
  ) {}
}

/** The network between the pages and the server. */
export class Network {
  readonly #world: World;
  readonly #links = new Set<Link>();
  #count = 0;
  #up = true;

  constructor(world: World) {
    this.#world = world;
  }

  get up(): boolean {
    return this.#up;
  }

  restore(): void {
    this.#up = true;
  }

  /** Nobody reaches the server until `restore`; those who are connected may hear of that or not. */
  fail(silently: boolean): void {
    this.#up = false;
    this.cut(silently);
  }

  /** Ends all connections, and with them what is on its way. */
  cut(silently: boolean): void {
    for (const link of this.#links) {
      this.#break(link, silently);
    }
  }

  /** The connections of a dead page end; what it has sent may arrive. */
  forget(page: Page): void {
    for (const link of this.#links) {
      if (link.page === page) {
        this.#world.agenda.inOrder(`${link.id}>`, this.#delay(), () => this.#break(link, true));
      }
    }
  }

  /** `WebSocket` of a page. */
  of(page: Page): typeof WebSocket {
    const connect = (socket: Socket) => this.#connect(page, socket);
    const constructor = function (): Socket {
      let link: Link | undefined;
      const socket: Socket = {
        onopen: null,
        onmessage: null,
        onclose: null,
        bufferedAmount: 0,
        send: (text) => link && send(link, text),
        close: () => link && close(link),
      };
      link = connect(socket);
      return socket;
    };
    const send = (link: Link, text: string) => this.#send(link, text);
    const close = (link: Link) =>
      this.#world.agenda.inOrder(`${link.id}>`, this.#delay(), () => this.#break(link, false));
    return constructor as unknown as typeof WebSocket;
  }

  #connect(page: Page, socket: Socket): Link {
    const link = new Link(page, (this.#count += 1), socket);
    this.#links.add(link);
    this.#world.agenda.inOrder(`${link.id}>`, this.#delay(), () => {
      if (!this.#up || page.dead) {
        this.#break(link, false);
        return;
      }
      link.session = this.#world.server.accept(
        (frame) => this.#deliver(link, frame),
        () => this.#break(link, false),
      );
      this.#tell(link, () => socket.onopen?.({ type: "open" }));
    });
    return link;
  }

  #send(link: Link, text: string): void {
    this.#world.agenda.inOrder(`${link.id}>`, this.#delay(), () => {
      if (!link.broken) {
        link.session?.receive(text);
      }
    });
  }

  #deliver(link: Link, frame: object): void {
    const data = JSON.stringify(frame);
    this.#tell(link, () => !link.broken && link.socket.onmessage?.({ type: "message", data }));
  }

  #tell(link: Link, run: () => void): void {
    this.#world.agenda.inOrder(`${link.id}<`, this.#delay(), () => link.page.perform(run));
  }

  #break(link: Link, silently: boolean): void {
    if (link.broken) {
      return;
    }
    link.broken = true;
    link.session?.end();
    this.#links.delete(link);
    if (!silently) {
      this.#tell(link, () => link.socket.onclose?.({ type: "close" }));
    }
  }

  #delay(): number {
    const { random } = this.#world;
    return random.latency(random.chance(0.02) ? 2_000 : 100);
  }
}
