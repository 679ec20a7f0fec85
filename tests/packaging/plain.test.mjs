/** The package's own files in a page without any bundler. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
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
  project = new Project({ "package.json": '{ "name": "empty", "private": true, "type": "module" }' });
  const site = join(project.dir, "site");
  mkdirSync(site);
  project.copy("dist", "site/realtime");
  writeFileSync(join(site, "index.html"), html("main.js"));
  writeFileSync(join(site, "main.js"), plain(quickStart()).replace("http://127.0.0.1:8787", server.url));
});

after(async () => {
  project?.remove();
  await browser?.close();
  await server.stop();
});

for (const type of ["application/wasm", "application/octet-stream"]) {
  test(`the package's files work in a page, with the module served as ${type}`, async () => {
    const site = await serveFiles(join(project.dir, "site"), { ".wasm": type });
    try {
      await quickStartWorks(browser, site.url, server);
    } finally {
      await site.close();
    }
  });
}

/** What a page without tools would hold: the address of the file, and no types. @param {string} example */
function plain(example) {
  const script = example
    .replace('"@webwaka/realtime"', '"./realtime/index.js"')
    .replace("<{ text: string }>", "");
  assert.match(script, /realtime\/index\.js/);
  assert.doesNotMatch(script, /: string/);
  return script;
}
