// Makes dist/ of src/ and of pkg/, which `cargo xtask build` fills from the Rust side before it calls this.
import { build } from "esbuild";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { declarations, ENTRIES } from "./declarations.mjs";
import { glue as placed } from "./glue.mjs";
import { shortenNames } from "./shorten.mjs";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const wasm = join(root, "pkg/engine_bg.wasm");
const js = join(root, "pkg/engine.js");
if (!existsSync(wasm)) {
  console.error("npm/pkg is empty: run `cargo xtask build`");
  process.exit(1);
}

const { module, glue } = shortenNames(readFileSync(wasm), readFileSync(js, "utf8"));

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
writeFileSync(join(dist, "engine.wasm"), module);
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
  plugins: [placed(js, glue)],
});
