/** The quick start of the README in an empty Vite project. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { launch } from "./setup/browser.mjs";
import { serveFiles } from "./setup/files.mjs";
import { html, quickStartWorks } from "./setup/page.mjs";
import { Project, quickStart } from "./setup/project.mjs";
import { Server } from "./setup/server.mjs";

const server = new Server();
/** @type {Project} */
let project;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  await server.start();
  browser = await launch();
  const main = quickStart().replace("http://127.0.0.1:8787", server.url);
  project = new Project(
    {
      "package.json": '{ "name": "empty", "private": true, "type": "module" }',
      "index.html": html("/main.ts"),
      "main.ts": main,
    },
    ["vite"],
  );
});

after(async () => {
  project?.remove();
  await browser?.close();
  await server.stop();
});

test("the quick start works when built, under a strict content security policy", async () => {
  project.tool("vite", "build", "--logLevel", "warn");
  const site = await serveFiles(join(project.dir, "dist"));
  try {
    await quickStartWorks(browser, site.url, server);
  } finally {
    await site.close();
  }
});

test("the quick start works in Vite's development server", async () => {
  const vite = join(project.dir, "node_modules/vite/bin/vite.js");
  const args = [vite, "--host", "127.0.0.1", "--port", "0", "--clearScreen", "false"];
  const child = spawn(process.execPath, args, { cwd: project.dir, env: { ...process.env, NO_COLOR: "1" } });
  try {
    let said = "";
    while (!/http:\/\/127\.0\.0\.1:\d+\//.test(said)) {
      const [data] = await once(child.stdout, "data");
      said += data;
    }
    const [url] = /** @type {RegExpExecArray} */ (/http:\/\/127\.0\.0\.1:\d+\//.exec(said));
    await quickStartWorks(browser, url, server);
  } finally {
    child.kill();
    await once(child, "exit");
  }
});
