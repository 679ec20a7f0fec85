import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What users import, as names of files in src without ending. */
export const ENTRIES = ["index", "node", "background-sync", "encryption"];

const ROOT = dirname(fileURLToPath(import.meta.url));

/**
 * Generates the declarations that a user's compiler reaches from these entries, and no others.
 *
 * @param {readonly string[]} entries names of files in src, without ending
 * @returns {Map<string, string>} texts by file name
 */
export function declarations(entries) {
  const folder = mkdtempSync(join(tmpdir(), "declarations-"));
  try {
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", folder], {
      cwd: ROOT,
      stdio: "inherit",
    });
    const reached = new Map(entries.map((name) => [`${name}.d.ts`, ""]));
    for (const name of reached.keys()) {
      const text = readFileSync(join(folder, name), "utf8");
      reached.set(name, text);
      for (const [, imported] of text.matchAll(/(?:from|import\() ?"\.\/([\w.]+)\.js"/g)) {
        const next = `${imported}.d.ts`;
        reached.set(next, reached.get(next) ?? "");
      }
    }
    return reached;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
