import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that is gone after the test. */
export function temporary(t, kind) {
  const folder = mkdtempSync(join(tmpdir(), `webwaka-${kind}-`));
  // A browser that was just killed may still be writing its last files.
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return folder;
}
