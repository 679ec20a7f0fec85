// Our server, as it is measured.
import { execFileSync } from "node:child_process";

/** The command that serves a folder, on a free port if none is given. */
export const serve = (data, port = 0) => [
  process.env.WEBWAKA_SERVER,
  ...["serve", "--dev", "--listen", `127.0.0.1:${port}`, "--data", data],
  // What somebody may do is not what is measured.
  ...["session-frames", "user-messages", "tenant-messages", "address-messages"].flatMap((of) => [
    `--${of}`,
    "1000000",
  ]),
  ...["session", "user", "tenant", "address"].flatMap((of) => [`--${of}-bytes`, "1000000000"]),
  ...["user", "tenant", "address"].flatMap((of) => [`--${of}-connections`, "100000"]),
  ...["--address-greetings", "256"],
];

/** A token of somebody who may do everything there. */
export function token(data) {
  const words = ["token", "--data", data, "--subject", "ada", "--tenant", "dev", "--ttl", "3600"];
  return execFileSync(process.env.WEBWAKA_SERVER, words, { encoding: "utf8" }).trim();
}
