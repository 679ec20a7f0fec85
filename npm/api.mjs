// Compares the package's public types with api/, where a review sees what changes for users.
// `node api.mjs --update` writes it anew.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { declarations, ENTRIES } from "./declarations.mjs";

const folder = new URL("./api/", import.meta.url);
const now = declarations(ENTRIES);
if (process.argv.includes("--update")) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  now.forEach((text, name) => writeFileSync(new URL(name, folder), text));
} else {
  const recorded = new Map(
    readdirSync(folder).map((name) => [name, readFileSync(new URL(name, folder), "utf8")]),
  );
  const names = new Set([...now.keys(), ...recorded.keys()]);
  const other = [...names].filter((name) => now.get(name) !== recorded.get(name));
  if (other.length > 0) {
    console.error(`${other.join(", ")}: not as in npm/api/; if that is meant, run \`npm run api\` in npm/`);
    process.exit(1);
  }
}
