import { io } from "socket.io-client";

import { taking } from "../taking.mjs";

const { take, current } = taking();
export { current };

export function follow({ url }) {
  const socket = io(url, { transports: ["websocket"] });
  socket.on("event", (event) => take([event]));
  let before = false;
  socket.on("connect", () => {
    if (before && !socket.recovered) console.error("Socket.IO did not recover the connection");
    before = true;
  });
}
