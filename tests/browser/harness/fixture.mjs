import { build } from "esbuild";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { temporary } from "./cleanup.mjs";

const source = fileURLToPath(new URL("../fixture/", import.meta.url));

/** A folder with the fixture page, for the server to serve. */
export async function fixtureSite(t) {
  const folder = temporary(t, "site");
  await build({
    entryPoints: [join(source, "page.mjs"), join(source, "worker.mjs")],
    outdir: folder,
    bundle: true,
    format: "esm",
    platform: "browser",
    logLevel: "error",
  });
  copyFileSync(join(source, "index.html"), join(folder, "index.html"));
  // Where the package looks for it: beside its own script.
  copyFileSync(
    fileURLToPath(import.meta.resolve("@webwaka/realtime/engine.wasm")),
    join(folder, "engine.wasm"),
  );
  return folder;
}

/** Opens the fixture page with a client; `mint` gives its tokens. */
export async function fixtureTab(tab, url, { name, mint, resolved = () => {} }) {
  await tab.exposeFunction("mint", mint);
  await tab.exposeFunction("resolved", resolved);
  await tab.goto(url);
  await tab.waitForFunction(() => globalThis.fixture !== undefined);
  await tab.evaluate((name) => fixture.open(name), name);
  return tab;
}
