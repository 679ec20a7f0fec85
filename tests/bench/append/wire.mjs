// One connection of a writer, and where an answer ends in each protocol.
import { connect as open } from "node:net";

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
        socket.write(request);
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
