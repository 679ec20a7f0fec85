// The reference server of the Durable Streams protocol, on files: `node durable.mjs FOLDER`.
import { DurableStreamTestServer } from "@durable-streams/server";

const server = new DurableStreamTestServer({ port: 0, host: "127.0.0.1", dataDir: process.argv[2] });
console.log(`listening on ${await server.start()}`);
