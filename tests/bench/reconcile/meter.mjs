import { connect, createServer } from "node:net";

/** A TCP proxy on loopback that counts the bytes passing through it, both ways. */
export async function meter(target) {
  let bytes = 0;
  const { port } = new URL(target);
  const open = new Set();
  const listener = createServer((near) => {
    const far = connect(Number(port), "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      open.add(from);
      from.on("data", (chunk) => {
        bytes += chunk.length;
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => from.resume());
      from.on("close", () => (open.delete(from), to.destroy())).on("error", () => to.destroy());
    }
  });
  await new Promise((listening) => listener.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    bytes: () => bytes,
    close() {
      open.forEach((socket) => socket.destroy());
      listener.close();
    },
  };
}
