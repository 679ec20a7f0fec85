import type { Encryption } from "../types.js";
import type { Held, Submissions } from "./submissions.js";

/** Begins every encrypted text; a draft in the clear begins with a brace. */
const SEALED = "!";

/** Submissions whose texts are encrypted in the store, if the application wants it. */
export function sealed(stored: Submissions, encryption: Encryption | undefined): Submissions {
  if (!encryption) {
    return stored;
  }
  const named = (key: string) => `submission:${key}`;
  return {
    async put(submissions) {
      const texts = await encryption.seal(submissions.map(([key, text]) => [named(key), text]));
      await stored.put(submissions.map(([key], index) => [key, SEALED + texts[index]]));
    },
    async all() {
      const all = await stored.all();
      const isSealed = ([, held]: [string, Held]) => typeof held === "string" && held.startsWith(SEALED);
      const keys = [...all].filter(isSealed).map(([key]) => key);
      const records = keys.map((key) => [named(key), String(all.get(key)).slice(1)] as const);
      const texts = records.length > 0 ? await encryption.open(records) : [];
      keys.forEach((key, index) => all.set(key, texts[index] ?? ""));
      return all;
    },
    remove: (keys) => stored.remove(keys),
    close: () => stored.close(),
  };
}
