// The HTTP server that RxDB and TanStack push to: `node endpoint.mjs <folder>`.
//
// Its duty is that of ours at its least: one transaction a request, durable (WAL, full synchronisation) before the
// answer, each edit once however often it is sent.

import Database from "better-sqlite3";
import { join } from "node:path";

import { listen } from "./listen.mjs";

const database = new Database(join(process.argv[2], "endpoint.sqlite"));
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
database.exec(`
  CREATE TABLE documents (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL);
  CREATE TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID;
`);
const find = database.prepare("SELECT state FROM documents WHERE id = ?").pluck();
const write = database.prepare("INSERT OR REPLACE INTO documents (id, state) VALUES (?, ?)");
const remember = database.prepare("INSERT OR IGNORE INTO seen (key) VALUES (?)");
const page = database.prepare("SELECT seq, state FROM documents WHERE seq > ? ORDER BY seq LIMIT ?");

/** A transaction of TanStack's, known by its idempotency key. */
const save = database.transaction(({ key, values }) => {
  if (remember.run(key).changes === 0) return {};
  for (const value of values) write.run(value.id, JSON.stringify(value));
  return {};
});

/** RxDB's push handler, as its documentation has it: what the writer did not know of comes back as a conflict. */
const push = database.transaction(({ rows }) => {
  const conflicts = [];
  for (const { newDocumentState, assumedMasterState } of rows) {
    const stored = find.get(newDocumentState.id);
    if (stored !== undefined && stored !== JSON.stringify(assumedMasterState))
      conflicts.push(JSON.parse(stored));
    else write.run(newDocumentState.id, JSON.stringify(newDocumentState));
  }
  return conflicts;
});

function pull(query) {
  const rows = page.all(Number(query.get("after")), Number(query.get("limit")));
  const seq = rows.at(-1)?.seq ?? Number(query.get("after"));
  // The states are JSON as they are.
  return `{"documents":[${rows.map(({ state }) => state).join()}],"checkpoint":{"seq":${seq}}}`;
}

listen(async (request, response) => {
  const url = new URL(request.url, "http://127.0.0.1");
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = () => JSON.parse(Buffer.concat(chunks).toString());
  const answers = {
    "POST /save": () => JSON.stringify(save.immediate(body())),
    "POST /push": () => JSON.stringify(push.immediate(body())),
    "GET /pull": () => pull(url.searchParams),
  };
  const answer = answers[`${request.method} ${url.pathname}`];
  if (!answer) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": "application/json" }).end(answer());
});
