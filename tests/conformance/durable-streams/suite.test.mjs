import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { inject } from "vitest";

const { url, longPoll } = inject("server");

runConformanceTests({ baseUrl: url, longPollTimeoutMs: longPoll, subscriptions: true });
