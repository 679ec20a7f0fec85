import { start } from "../server.mjs";

/** How long a long-poll waits here; the suite waits for several of them. */
const LONG_POLL_MS = 500;

/**
 * One server for the whole suite. It is told that the world sees its topics where the suite looks for them.
 *
 * @param {{ provide(key: string, value: unknown): void }} project
 */
export default async function setup(project) {
  const { host, end } = await start();
  const url = host.url();
  await host.kill();
  await host.start(["--streams-url", `${url}/v1/stream`, "--long-poll-ms", String(LONG_POLL_MS)]);
  project.provide("server", { url, token: host.token(), longPoll: LONG_POLL_MS });
  return end;
}
