const KEY = "task-board.name";

/** The longest name someone may pick. */
export const NAME_LIMIT = 40;

/** The name picked on this device, if the browser keeps one. */
export function rememberedName(): string | undefined {
  try {
    return localStorage.getItem(KEY) ?? undefined;
  } catch {
    // Storage is blocked: the name is asked for on every visit.
    return undefined;
  }
}

/** Keeps the name for the next visit, where the browser allows it. */
export function rememberName(name: string): void {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // As above; the name holds for as long as the page is open.
  }
}

/** A development token. A real application asks its own login service instead. */
export async function fetchToken(subject: string, signal: AbortSignal): Promise<string> {
  const response = await fetch("/dev/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ subject }),
    signal,
  });
  if (!response.ok) throw new Error(`no token: ${response.status}`);
  const { token } = (await response.json()) as { token: string };
  return token;
}
