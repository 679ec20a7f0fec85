// Our server, as it is measured.
import { execFileSync } from "node:child_process";

/** The command that serves a folder, on a free port if none is given. */
export const serve = (data, port = 0) => [
  process.env.WEBWAKA_SERVER,
  ...["serve", "--dev", "--listen", `127.0.0.1:${port}`, "--data", data],
  // What a session may send is not what is measured.
  ...["--session-frames", "1000000", "--session-bytes", "1000000000"],
];

/** A token of somebody who may do everything there. */
export function token(data) {
  const words = ["token", "--data", data, "--subject", "ada", "--tenant", "dev", "--ttl", "3600"];
  return execFileSync(process.env.WEBWAKA_SERVER, words, { encoding: "utf8" }).trim();
}
