// One connection that reads WebSocket frames with as little work as can be, the same for every server.
import { connect } from "node:net";

const TEXT = 0x81;

/**
 * Opens a WebSocket, or with no `path` a bare connection on which frames come. `onText` is called with each message, and
 * `onEnd` when it is over.
 */
export async function open(port, { path, protocol, first }, onText, onEnd = () => {}) {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  let rest = Buffer.alloc(0);
  let upgraded = path === undefined;
  let begun;
  const begins = new Promise((resolve, reject) => {
    begun = resolve;
    socket.on("error", reject).on("close", () => {
      reject(new Error("the connection ended"));
      onEnd();
    });
  });
  // After it has begun, nobody waits for this.
  begins.catch(() => {});
  socket.on("data", (chunk) => {
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
    if (!upgraded) {
      const end = rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = rest.toString("latin1", 0, end);
      if (!head.startsWith("HTTP/1.1 101")) return void socket.destroy(new Error(head));
      rest = rest.subarray(end + 4);
      upgraded = true;
      begun();
    } else if (path === undefined && begun) {
      rest = rest.subarray(1);
      begun();
      begun = undefined;
    }
    rest = frames(rest, onText);
  });
  if (path === undefined) {
    socket.write(first);
  } else {
    const more = protocol ? `sec-websocket-protocol: ${protocol}\r\n` : "";
    socket.write(
      `GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
        `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`,
    );
  }
  await begins;
  return {
    send: (text) => socket.write(masked(text)),
    write: (bytes) => socket.write(bytes),
    end: () => socket.destroy(),
  };
}

/** Hands on each whole frame; returns what is left. */
function frames(bytes, onText) {
  let at = 0;
  while (bytes.length - at >= 2) {
    let length = bytes[at + 1];
    let begin = at + 2;
    if (length === 126) {
      if (bytes.length - at < 4) break;
      length = bytes.readUInt16BE(begin);
      begin += 2;
    } else if (length === 127) {
      if (bytes.length - at < 10) break;
      length = Number(bytes.readBigUInt64BE(begin));
      begin += 8;
    }
    if (bytes.length < begin + length) break;
    if (bytes[at] === TEXT) onText(bytes.latin1Slice(begin, begin + length));
    at = begin + length;
  }
  return at === 0 ? bytes : bytes.subarray(at);
}

/** A text frame of a client (masked with zeros, which is a mask). */
function masked(text) {
  const body = Buffer.from(text);
  const head =
    body.length < 126
      ? Buffer.from([TEXT, 0x80 | body.length])
      : Buffer.from([TEXT, 0x80 | 126, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([head, Buffer.alloc(4), body]);
}
