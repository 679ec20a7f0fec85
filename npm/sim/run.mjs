// Bundles the simulator and what its pages load, and runs it: `node sim/run.mjs --seed N [--verbose] | --seeds COUNT|A..B`.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { glue } from "../glue.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, "node_modules/.cache/sim");
const pkg = join(root, "pkg");

const shared = { absWorkingDir: root, outdir: out, bundle: true, target: "node20", logLevel: "warning" };
await build({
  ...shared,
  entryPoints: ["sim/page.ts"],
  format: "iife",
  globalName: "page",
  plugins: [glue(join(pkg, "engine.js"), readFileSync(join(pkg, "engine.js"), "utf8"))],
});
await build({
  ...shared,
  entryPoints: ["sim/main.ts"],
  outExtension: { ".js": ".mjs" },
  platform: "node",
  format: "esm",
});
const run = spawnSync(
  process.execPath,
  [
    join(out, "main.mjs"),
    ...["--engine", join(pkg, "engine_bg.wasm"), "--script", join(out, "page.js")],
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit" },
);
process.exit(run.status ?? 1);
