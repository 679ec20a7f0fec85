import { type Envelope, type Message, type Versions, isEnvelope } from "./protocol.js";

/** One tab's end of the line on which all tabs of a client hear each other. */
export class Channel {
  readonly #line: BroadcastChannel;
  readonly #self: string;
  readonly #versions: Versions;

  constructor(
    line: BroadcastChannel,
    self: string,
    versions: Versions,
    hear: (message: Message, from: string, versions: Versions) => void,
  ) {
    this.#line = line;
    this.#self = self;
    this.#versions = versions;
    line.onmessage = ({ data }: MessageEvent) => {
      if (isEnvelope(data) && data.from !== self && (data.to === undefined || data.to === self)) {
        hear(data.message, data.from, data.versions);
      }
    };
  }

  /** To one tab, or to all. */
  post(message: Message, to?: string): void {
    const envelope: Envelope = { from: this.#self, versions: this.#versions, message, ...(to && { to }) };
    this.#line.postMessage(envelope);
  }

  close(): void {
    this.#line.onmessage = null;
    this.#line.close();
  }
}
