// Makes dist/ of src/ and of pkg/, which `cargo xtask` fills from the Rust side.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ENTRIES = ["index", "node"];

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const wasm = join(root, "pkg/engine_bg.wasm");
if (!existsSync(wasm)) {
  console.error("pkg/ is empty: run `cargo xtask build`, which fills it and then calls this script");
  process.exit(1);
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
copyFileSync(wasm, join(dist, "engine.wasm"));
await build({
  absWorkingDir: root,
  entryPoints: ENTRIES.map((name) => `src/${name}.ts`),
  outdir: "dist",
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  sourcemap: "linked",
  logLevel: "warning",
});

// The declarations that a user's compiler reaches from the entries, and no others.
const all = mkdtempSync(join(tmpdir(), "declarations-"));
try {
  execFileSync(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json", "--outDir", all],
    { cwd: root, stdio: "inherit" },
  );
  const reached = new Set(ENTRIES.map((name) => `${name}.d.ts`));
  for (const name of reached) {
    const text = readFileSync(join(all, name), "utf8");
    for (const [, imported] of text.matchAll(/from "\.\/([\w.]+)\.js"/g)) {
      reached.add(`${imported}.d.ts`);
    }
    copyFileSync(join(all, name), join(dist, name));
  }
} finally {
  rmSync(all, { recursive: true });
}
