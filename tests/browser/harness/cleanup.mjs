import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const stacks = new WeakMap();

/** Undoes something after the test: what was set up last first, and all of it, whatever fails. */
export function undo(t, step) {
  const stack = stacks.get(t);
  if (stack) return void stack.push(step);
  const steps = [step];
  stacks.set(t, steps);
  t.after(async () => {
    const failures = [];
    while (steps.length > 0) {
      try {
        await steps.pop()();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `cleaning up: ${failures.join("; ")}`);
  });
}

/** A folder that is gone after the test. */
export function temporary(t, kind) {
  const folder = mkdtempSync(join(tmpdir(), `webwaka-${kind}-`));
  // A browser that was just killed may still be writing its last files.
  undo(t, () => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return folder;
}
