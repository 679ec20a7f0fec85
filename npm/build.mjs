// Makes dist/ of src/ and of pkg/, which `cargo xtask` fills from the Rust side.
import { build } from "esbuild";
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { declarations } from "./declarations.mjs";

const ENTRIES = ["index", "node"];

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const wasm = join(root, "pkg/engine_bg.wasm");
if (!existsSync(wasm)) {
  console.error("npm/pkg is empty: `cargo xtask` fills it before it calls this script");
  process.exit(1);
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
copyFileSync(wasm, join(dist, "engine.wasm"));
for (const [name, text] of declarations(ENTRIES)) {
  writeFileSync(join(dist, name), text);
}
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
