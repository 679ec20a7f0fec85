// One connection of a writer, and where an answer ends in each protocol.
import { connect as open } from "node:net";

/** The first byte of a message of text (RFC 6455, section 5.2). */
const TEXT = 0x81;

/** A connection that sends one request after the answer to the last. `length` finds the end of an answer. */
export async function connect(port, greeting, length) {
  const socket = open({ port, host: "127.0.0.1", noDelay: true });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  let text = "";
  let waiting;
  const fail = (error) => waiting?.reject(error);
  socket.on("error", fail);
  socket.on("close", () => fail(new Error("the connection ended")));
  socket.setEncoding("latin1").on("data", (chunk) => {
    text += chunk;
    if (text.startsWith("PING\r\n")) {
      text = text.slice(6);
      socket.write("PONG\r\n");
    }
    try {
      const end = length(text);
      if (end === 0) return;
      text = text.slice(end);
      const { resolve } = waiting;
      waiting = undefined;
      resolve();
    } catch (error) {
      fail(error);
    }
  });
  if (greeting) socket.write(greeting);
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        // All that is written is ASCII, but for the heads of frames.
        socket.write(request, "latin1");
      }),
    end: () => {
      waiting = undefined;
      socket.destroy();
    },
  };
}

/** An HTTP answer of success, with a body of a known length or none. */
export function httpAnswer(text) {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return 0;
  if (!/^HTTP\/1\.1 2/.test(text)) throw new Error(text);
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head))?.[1] ?? 0;
  const end = head + 4 + Number(length);
  return text.length < end ? 0 : end;
}

/** A message of text of a client (masked with zeros, which is a mask), as a string of bytes. */
export function frame(text) {
  const length = text.length;
  const head = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : undefined;
  if (!head) throw new Error(`a frame of ${length} bytes`);
  return `${String.fromCharCode(TEXT, head[0] | 128, ...head.slice(1), 0, 0, 0, 0)}${text}`;
}

/** What answers a frame of ours: the upgrade, a `welcome` or `outcomes`, of which none is a refusal. */
export function frameAnswer(text) {
  if (text.startsWith("HTTP/")) {
    const head = text.indexOf("\r\n\r\n");
    if (head >= 0 && !text.startsWith("HTTP/1.1 101")) throw new Error(text);
    return head < 0 ? 0 : head + 4;
  }
  const short = text.charCodeAt(1);
  if (!(short < 127)) return 0;
  const begin = short < 126 ? 2 : 4;
  const end = begin + (short < 126 ? short : (text.charCodeAt(2) << 8) | text.charCodeAt(3));
  if (!(text.length >= end)) return 0;
  const body = text.slice(begin, end);
  if (body.startsWith('{"ping"')) {
    const rest = frameAnswer(text.slice(end));
    return rest === 0 ? 0 : end + rest;
  }
  if (!/^\{"(welcome|outcomes)"/.test(body) || body.includes('"rejected"')) throw new Error(body);
  return end;
}

/** A message of NATS, after the line with which a server introduces itself. */
export function natsAnswer(text) {
  const head = /^(?:INFO [^\r]*\r\n)?MSG \S+ 1 (\d+)\r\n/.exec(text);
  if (!head) {
    if (/^(INFO [^\r]*\r\n)?-ERR/.test(text)) throw new Error(text);
    return 0;
  }
  const end = head[0].length + Number(head[1]) + 2;
  if (text.length < end) return 0;
  if (text.slice(head[0].length).includes('"error"')) throw new Error(text);
  return end;
}

/** The id that Redis gave an entry. */
export function redisAnswer(text) {
  const head = /^\$(\d+)\r\n/.exec(text);
  if (!head) {
    if (text.startsWith("-")) throw new Error(text);
    return 0;
  }
  const end = head[0].length + Number(head[1]) + 2;
  return text.length < end ? 0 : end;
}
