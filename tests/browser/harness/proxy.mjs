import { createServer, connect } from "node:net";

import { undo } from "./cleanup.mjs";

/**
 * A TCP proxy on loopback that misbehaves on demand. Its state is one of
 *
 * - `open`: bytes pass;
 * - `refused`: connections are cut, and new ones reset;
 * - `blackhole`: connections stay, and new ones are taken, but not a byte passes;
 * - `deaf`: what the client says passes, and not a byte of what the server says;
 * - `page only`: what is under `/v1/` and `/dev/` is cut, the page itself is served;
 * - `no websocket`: requests to upgrade are answered with 403, plain HTTP passes;
 * - `buffers`: the same, and an answer of server-sent events is passed on when all of it is there;
 * - `tears`: the same, and of each piece of such an answer only what comes before the middle of its first character
 *   that has two bytes; the rest comes with the next piece;
 * - `login page`: whatever is asked, the answer is 200 with a page on which to log in.
 */
export async function proxy(t, target) {
  let state = "open";
  const connections = new Set();
  const heard = new Set();
  const listener = createServer((client) => {
    if (state === "refused") return client.resetAndDestroy();
    const upstream = connect(target(), "127.0.0.1");
    const connection = { client, upstream, upgraded: false, asked: "", held: undefined };
    connections.add(connection);
    const end = () => {
      client.destroy();
      upstream.destroy();
      connections.delete(connection);
    };
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
    client.on("data", (chunk) => pass(connection, chunk));
    upstream.on("data", (chunk) => {
      if (state !== "blackhole" && state !== "deaf") client.write(passed(connection, chunk));
    });
  });

  /** What of an answer is passed on now. */
  function passed(connection, chunk) {
    if (/^HTTP\/1\.1 [^]*\r\ncontent-type: text\/event-stream\r\n/i.test(chunk.toString("latin1"))) {
      connection.held = Buffer.alloc(0);
    }
    if (connection.held === undefined || !/buffers|tears/.test(state)) return chunk;
    const there = Buffer.concat([connection.held, chunk]);
    const over = there.subarray(-7).toString("latin1") === "\r\n0\r\n\r\n";
    const middle = there.findIndex((byte, at) => at >= connection.held.length && byte >= 0xc0) + 1;
    const until = over || (state === "tears" && middle === 0) ? there.length : state === "tears" ? middle : 0;
    connection.held = over ? undefined : there.subarray(until);
    return there.subarray(0, until);
  }

  function pass(connection, chunk) {
    if (state === "blackhole") return;
    const { client, upstream } = connection;
    // Browsers send the head of a request in one piece, and wait for the answer before they send the next.
    const head = connection.upgraded ? "" : chunk.toString("latin1", 0, 4096);
    const upgrade = /\r\nupgrade: websocket\r\n/i.test(head);
    if (/^[A-Z]+ \//.test(head)) heard.add((connection.asked = head.slice(0, head.indexOf(" HTTP/"))));
    if (noWebSocket() && upgrade) {
      client.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      return;
    }
    if (state === "login page") {
      const page = "<!doctype html><title>Welcome</title><form>Room number: <input></form>";
      const head = `HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${page.length}\r\n`;
      client.end(`${head}connection: close\r\n\r\n${page}`);
      return;
    }
    if (state === "page only" && /^[A-Z]+ \/(v1|dev)\//.test(head)) {
      client.resetAndDestroy();
      return;
    }
    connection.upgraded ||= upgrade;
    upstream.write(chunk);
  }

  const noWebSocket = () => /no websocket|buffers|tears/.test(state);

  function cut(which = () => true) {
    for (const connection of connections) if (which(connection)) connection.client.resetAndDestroy();
  }

  await new Promise((listening) => listener.listen(0, "127.0.0.1", listening));
  undo(t, () => {
    cut();
    listener.close();
  });
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    /** Cuts every connection there is; new ones are met according to the state. */
    cut,
    /** How many WebSockets pass through it now. */
    webSockets: () => [...connections].filter(({ upgraded }) => upgraded).length,
    /** Whatever was asked for. */
    heard,
    /** What was asked for last on each of the connections that are open. */
    asked: () => [...connections].map(({ asked }) => asked),
    set(next) {
      const before = state;
      state = next;
      if (next === "refused" || next === "login page") cut();
      // What was held back is lost, as on a real network: the connections cannot go on.
      if (/blackhole|deaf/.test(before) && next !== before) cut();
      if (next === "page only" || noWebSocket()) cut(({ upgraded }) => upgraded);
    },
  };
}
