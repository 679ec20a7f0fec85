import { execFileSync } from "node:child_process";

import { browser } from "../browser.mjs";

export const title = (count) => `merge: two concurrent histories of ${count} operations each`;
export const COUNT = 10_000;
export const UNIT = "operations/s";

/** What the histories are of: every document is written by both, and every field of it. */
const SHAPE = { documents: 1_000, fields: 8 };

export const CONTENDERS = [
  { key: "native", name: "sdk_core::reconcile, native" },
  { key: "wasm", name: "sdk_core::reconcile, WASM in Chromium", page: "core" },
  { key: "yjs", name: "Yjs, map updates in Chromium", page: "yjs" },
];

export async function measure({ folder, site }, contender, operations) {
  const job = { operations, ...SHAPE };
  if (!contender.page) {
    const options = [job.operations, job.documents, job.fields].map(String);
    return { value: Number(execFileSync(process.env.MERGE_NATIVE, options, { encoding: "utf8" })) };
  }
  const chromium = await browser(folder);
  try {
    const page = await chromium.page(`${site.url}/${contender.page}.html`);
    return { value: await page.evaluate((job) => globalThis.contender.merge(job), job) };
  } finally {
    await chromium.close();
  }
}

export function ratios({ native, wasm, yjs }) {
  return [
    { name: "WASM to Yjs", value: wasm.value / yjs.value },
    { name: "WASM to native", value: wasm.value / native.value },
  ];
}
