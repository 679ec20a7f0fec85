/** The public types beside those that are generated from Rust: this file fails to compile where they differ. */
import type * as generated from "../pkg/engine.js";
import type { FinalCode, RETRYABLE } from "../src/errors.js";
import type { Engine } from "../src/seam.js";
import type { LinkState, Outcome, Status, Strategy } from "../src/types.js";

type Equal<A, B> = [A, B] extends [B, A] ? true : false;
type AllKeys<T> = T extends unknown ? keyof T : never;
const holds = <T extends true>(): T | undefined => undefined;

holds<Equal<Strategy, generated.Strategy>>();
holds<Equal<LinkState, generated.LinkState>>();
// What the browser says of its storage, and how the tab takes part, is added in TypeScript.
holds<Equal<keyof Omit<Status, "storage" | "role">, keyof generated.Status>>();
type Optional = "problem" | "syncing";
holds<Equal<Omit<Status, Optional | "storage" | "role">, Omit<generated.Status, Optional>>>();
holds<Equal<NonNullable<Status["syncing"]>, NonNullable<generated.Status["syncing"]>>>();
holds<Equal<Outcome["type"], AllKeys<generated.Outcome>>>();
type Known = (typeof RETRYABLE)[number] | FinalCode;
holds<Exclude<generated.ErrorCode, Known> extends never ? true : false>();
holds<generated.Engine extends Engine ? true : false>();
