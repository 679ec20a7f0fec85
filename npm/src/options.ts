import { RealtimeError } from "./errors.js";
import { strategyOf } from "./rules.js";
import type { EngineOptions, Sender } from "./seam.js";
import type { ClientOptions } from "./types.js";

/** Options of the engine, checked as far as the engine could not say as well what is wrong. */
export function engineOptions(options: ClientOptions): EngineOptions {
  const { url, name = "default", collections, schema = 0, migrations = {} } = options;
  const address = parse(url);
  if (!/^https?:$/.test(address?.protocol ?? "")) {
    throw invalid("url must be an absolute http: or https: address");
  }
  if (typeof name !== "string" || name === "") {
    throw invalid("name must be text");
  }
  if (!Number.isInteger(schema) || schema < 0 || schema > 0xffff_ffff) {
    throw invalid("schema must be a whole number of 32 bits");
  }
  for (const [to, migration] of Object.entries(migrations)) {
    if (!/^[1-9]\d*$/.test(to) || Number(to) > schema || typeof migration !== "function") {
      throw invalid("migrations must be functions by the version that they lead to, up to schema");
    }
  }
  if (typeof collections !== "object" || collections === null) {
    throw invalid("collections must be an object, with the strategy of each collection by its name");
  }
  for (const [collection, each] of Object.entries(collections)) {
    if (typeof each === "object" && (each?.strategy !== "merge" || typeof each.merge !== "function")) {
      throw invalid(`the collection ${collection} needs the strategy "merge" and a function`);
    }
  }
  return {
    url: String(address),
    name,
    collections: Object.entries(collections).map(([name, each]) => [name, strategyOf(each)]),
    schema,
  };
}

/** The token and the trace, as the engine asks for them. */
export function tokenSource({ token, traceparent }: ClientOptions, signal: AbortSignal): Sender {
  if (typeof token !== "string" && typeof token !== "function") {
    throw invalid("token must be text or a function");
  }
  const source: Sender = async () => {
    const text: unknown = typeof token === "string" ? token : await token({ signal });
    if (typeof text !== "string") {
      throw invalid("token must give text");
    }
    return text;
  };
  return Object.assign(source, traceparent && { traceparent });
}

function parse(url: string | URL): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}

function invalid(message: string): RealtimeError {
  return new RealtimeError("invalid_options", message);
}
