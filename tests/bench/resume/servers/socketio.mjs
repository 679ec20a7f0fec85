// Socket.IO with connection-state recovery, in memory; events come by HTTP: `node socketio.mjs`.
import { createServer } from "node:http";

import { Server } from "socket.io";

const http = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  for (const event of JSON.parse(body)) io.emit("event", event);
  response.end();
});
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  cors: { origin: "*" },
  connectionStateRecovery: {},
});
http.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${http.address().port}`));
