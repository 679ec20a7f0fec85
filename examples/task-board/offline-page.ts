import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

/**
 * Adds `sw.js`, which keeps the page itself on the device: without it a reload without a network would show the
 * browser's error page, with everybody's pending edits safe but out of sight.
 */
export function offlinePage(): Plugin {
  return {
    name: "offline-page",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const files = [
          "/",
          "/icon.svg",
          ...Object.keys(bundle)
            // An operator needs the server for everything, and its newest page.
            .filter((file) => file !== "index.html" && !/^(assets\/)?operator/.test(file))
            .map(toUrl),
        ];
        const page = bundle["index.html"];
        const content = page?.type === "asset" ? page.source : "";
        // Names of files carry hashes of what is in them, and the page names the files.
        const version = createHash("sha256").update(content).digest("hex").slice(0, 16);
        const worker = readFileSync(new URL("src/service-worker.js", import.meta.url), "utf8");
        const constants = `const VERSION = ${JSON.stringify(version)};\nconst FILES = ${JSON.stringify(files)};\n`;
        this.emitFile({ type: "asset", fileName: "sw.js", source: constants + worker });
      },
    },
  };
}

const toUrl = (file: string) => `/${file}`;
