// Compares the package's public types with api.d.ts, where a review sees what changes for users.
// `node api.mjs --update` writes it anew.
import { readFileSync, writeFileSync } from "node:fs";
import { declarations, ENTRIES } from "./declarations.mjs";

const snapshot = new URL("./api.d.ts", import.meta.url);
const now = [...declarations(ENTRIES)].map(([name, text]) => `// ${name}\n${text}`).join("\n");
if (process.argv.includes("--update")) {
  writeFileSync(snapshot, now);
} else if (readFileSync(snapshot, "utf8") !== now) {
  console.error(
    "the public types are not those of npm/api.d.ts: if that is meant, run `npm run api` in npm/",
  );
  process.exit(1);
}
