/** Which Chromium the tests drive. */
export const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** Nothing leaves the machine: no name resolves, and Chromium's own services are off. */
export const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];
