import { createServer } from "node:http";

/** Serves on a free port of loopback to pages of any origin, and tells the port; ends with the process above. */
export function listen(handle) {
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", request.headers.origin ?? "*");
    response.setHeader("access-control-allow-credentials", "true");
    if (request.method !== "OPTIONS") return handle(request, response);
    response.setHeader("access-control-allow-methods", "GET, HEAD, POST, PUT, DELETE");
    response.setHeader(
      "access-control-allow-headers",
      request.headers["access-control-request-headers"] ?? "",
    );
    // Asked once and not with each request: it is not what is measured.
    response.setHeader("access-control-max-age", "7200");
    response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
  process.stdin.on("end", () => process.exit()).resume();
}
