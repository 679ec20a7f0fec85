/** The quick start of the README in an empty Vite project. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import test, { after, before, describe } from "node:test";
import { launch } from "./setup/browser.mjs";
import { serveFiles } from "./setup/files.mjs";
import { html, quickStartWorks } from "./setup/page.mjs";
import { Project, quickStart } from "./setup/project.mjs";
import { Server } from "./setup/server.mjs";

const server = new Server();
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  await server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server.stop();
});

const EMPTY = "export default {};";
// Up to 7, Vite moves a dependency's script in development without the files beside it.
const EXCLUDED = 'export default { optimizeDeps: { exclude: ["@webwaka/realtime"] } };';

for (const [vite, config] of /** @type {const} */ ([
  ["vite", EMPTY],
  ["vite-7", EXCLUDED],
])) {
  describe(`the quick start in an empty project of ${vite}`, () => {
    /** @type {Project} */
    let project;
    before(() => {
      const files = {
        "package.json": '{ "name": "empty", "private": true, "type": "module" }',
        "vite.config.js": config,
        "index.html": html("/main.ts"),
        "main.ts": quickStart().replace("http://127.0.0.1:8787", server.url),
      };
      project = new Project(files, [vite]);
    });
    after(() => project?.remove());

    test("works when built, under a strict content security policy", async () => {
      project.tool("vite", "build", "--logLevel", "warn");
      const site = await serveFiles(join(project.dir, "dist"));
      try {
        await quickStartWorks(browser, site.url, server);
      } finally {
        await site.close();
      }
    });

    test("works in the development server", async () => {
      const program = join(project.dir, "node_modules/vite/bin/vite.js");
      const args = [program, "--host", "127.0.0.1", "--port", "0", "--clearScreen", "false"];
      const child = spawn(process.execPath, args, {
        cwd: project.dir,
        env: { ...process.env, NO_COLOR: "1" },
      });
      try {
        await quickStartWorks(browser, await announced(child.stdout), server);
      } finally {
        child.kill();
        await once(child, "exit");
      }
    });
  });
}

/** The address that a development server prints. @param {import("node:stream").Readable} output */
async function announced(output) {
  let said = "";
  for (const signal = AbortSignal.timeout(20_000); ;) {
    const [data] = await once(output, "data", { signal });
    said += data;
    const [url] = /http:\/\/127\.0\.0\.1:\d+\//.exec(said) ?? [];
    if (url) {
      output.resume();
      return url;
    }
  }
}
