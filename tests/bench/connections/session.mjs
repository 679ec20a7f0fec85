// A session with our server, as thin as can be: thousands of them have to fit into one process beside what is measured.
import { randomBytes } from "node:crypto";

import { open } from "../fanout/socket.mjs";

const HOW = { path: "/v1/realtime", protocol: "webwaka.realtime.v1" };

/** Who connects, with a token and an installation of its own. */
export const somebody = (token) => ({ token, client: randomBytes(16).toString("hex") });

/** Opens a session; resolves once it is welcome. Whoever may be asked to come back later is told so by `onEnd`. */
export async function session(port, { token, client }, onText = () => {}, onEnd = () => {}) {
  let welcome, refused;
  const greeted = new Promise((resolve, reject) => ([welcome, refused] = [resolve, reject]));
  greeted.catch(() => {});
  let connection;
  const take = (text) => {
    if (text.startsWith('{"ping"')) connection?.send('{"pong":{}}');
    else if (text.startsWith('{"welcome"')) welcome();
    else onText(text);
  };
  connection = await open(port, HOW, take, () => {
    refused(new Error("the session ended before its welcome"));
    onEnd();
  });
  connection.send(JSON.stringify({ hello: { versions: [1], token, client, resume: [] } }));
  await greeted;
  return connection;
}
