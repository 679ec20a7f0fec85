import { connect, createServer } from "node:net";

/** A TCP proxy on loopback that counts the bytes passing through it, both ways. */
export async function meter(target) {
  let bytes = 0;
  let whole = true;
  let accepted = () => {};
  const { port } = new URL(target);
  const open = new Set();
  const listener = createServer((near) => {
    if (!whole) return void near.on("error", () => {}).destroy();
    accepted();
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
    /** Ends every connection, and lets no other through. */
    cut() {
      whole = false;
      open.forEach((socket) => socket.destroy());
    },
    /** Lets connections through again and counts anew; resolves with the Unix milliseconds of the first. */
    mend() {
      bytes = 0;
      whole = true;
      return new Promise((resolve) => {
        accepted = () => resolve(performance.timeOrigin + performance.now());
      });
    },
    close() {
      open.forEach((socket) => socket.destroy());
      listener.close();
    },
  };
}
