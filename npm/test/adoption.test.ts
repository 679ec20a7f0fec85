import assert from "node:assert/strict";
import test from "node:test";
import { Adoption } from "../src/tabs/adoption.js";
import type { Submissions } from "../src/tabs/submissions.js";
import { settled } from "./setup.js";

/** What two tabs have left, an adoption of it, and which of it was asked for. */
function left(t: test.TestContext, ...keys: string[]) {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const all = new Map<string, string | number>(keys.map((key) => [key, "text"]));
  const submissions = {
    all: () => Promise.resolve(all),
    remove: () => Promise.resolve(),
    close: () => undefined,
  } as unknown as Submissions;
  const asked: string[] = [];
  const living = new Set(["ada", "ben"]);
  const adopter = { adopt: (key: string) => void asked.push(key) };
  const adoption = new Adoption(submissions, adopter, () => Promise.resolve(living));
  t.after(() => adoption.stop());
  return { adoption, asked, living };
}

const ADA = "1-ada-1";
const BEN = "2-ben-1";

test("what was refused is asked for again when its own tab is gone, and not when another is", async (t) => {
  const { adoption, asked, living } = left(t, ADA, BEN);
  await settled();
  assert.deepEqual(asked.splice(0), [ADA, BEN]);
  adoption.refused(ADA);
  adoption.refused(BEN);
  living.delete("ada");
  adoption.gone();
  await settled();
  assert.deepEqual(asked, [ADA]);
});

test("what was refused has time to be taken away before it is asked for again", async (t) => {
  const { adoption, asked } = left(t, ADA);
  await settled();
  t.mock.timers.tick(14_999);
  adoption.refused(ADA);
  t.mock.timers.tick(1);
  adoption.look();
  await settled();
  assert.deepEqual(asked.splice(0), [ADA]);
  t.mock.timers.tick(15_000);
  await settled();
  assert.deepEqual(asked, [ADA]);
});
