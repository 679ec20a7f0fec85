// What a proxy in front of the server would do: the suite asks for topics at `/v1/stream/` and has no token.
import { inject } from "vitest";

const { url, token } = inject("server");
const original = globalThis.fetch;

globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  if (!request.url.startsWith(`${url}/v1/stream/`)) return original(input, init);
  const target = request.url.replace("/v1/stream/", "/v1/streams/");
  const headers = new Headers(init?.headers ?? request.headers);
  // Blobs without a type and the like: what the request has by itself, it keeps.
  request.headers.forEach((value, name) => headers.set(name, value));
  if (!headers.has("authorization")) headers.set("authorization", `Bearer ${token}`);
  if (input instanceof Request) return original(new Request(target, input), { headers });
  return original(target, { ...init, headers });
};
