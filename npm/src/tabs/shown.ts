import type { WireStatus } from "../seam.js";
import type { Role } from "../types.js";

/** What is known before anything is. */
const INITIAL = {
  link: "down",
  network: true,
  pending: 0,
  rejected: 0,
  conflicts: 0,
  damaged: 0,
  durable: true,
  caughtUp: false,
};

const UPDATE_NEEDED = {
  code: "update_needed",
  message: "another tab has a newer version of this page: reload; what is edited here is kept until then",
};

/** Why a tab ends when another one logs out. */
export const LOGGED_OUT = {
  code: "logged_out",
  message: "somebody logged out in another tab",
  retryable: false,
};

/** The engine's status, as JSON text, with how this tab takes part; with `outdated` it takes none. */
export function withRole(text: string | undefined, role: Role, outdated: boolean): string {
  const status = JSON.parse(text ?? "{}") as WireStatus;
  return JSON.stringify({
    ...INITIAL,
    ...status,
    ...(outdated && { link: "down", problem: UPDATE_NEEDED }),
    role,
  });
}

/** Whether a view shows what the store holds; what has come of a topic does. The engine writes its fields in this order. */
export function isLoaded(view: string): boolean {
  return !view.startsWith('{"loaded":false');
}
