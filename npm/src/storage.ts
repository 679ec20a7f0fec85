import type { StorageStatus } from "./types.js";

/** Milliseconds for which an estimate is good enough. */
const FRESH = 30_000;

/** What the browser says of the storage that it gives to this origin. */
export class DeviceStorage {
  /** As last known; `undefined` until the browser has answered, or if it has nothing to say. */
  now: StorageStatus | undefined;
  readonly #changed: () => void;
  #asked = 0;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Asks the browser not to evict it. Some ask the user in turn, others decide by themselves. */
  async persist(): Promise<void> {
    const { storage } = navigator;
    if (!(await storage?.persisted?.())) {
      await storage?.persist?.();
    }
    await this.#look();
  }

  /** Looks again, unless it has just done so. */
  refresh(): void {
    if (Date.now() - this.#asked >= FRESH) {
      // A browser that does not tell leaves things unknown, which is what they are then.
      this.#look().catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    this.#asked = Date.now();
    const { storage } = navigator;
    const persisted = await storage?.persisted?.();
    const { usage, quota } = (await storage?.estimate?.()) ?? {};
    if (persisted !== undefined) {
      this.now = { persisted, ...(usage !== undefined && { usage }), ...(quota !== undefined && { quota }) };
      this.#changed();
    }
  }
}

/**
 * Whether the storage of the client `name` was wiped since its last client: browsers evict databases, and what was
 * in them is not missed by anyone then. So its id is noted in another kind of storage as well. Where that is not
 * to be had, or is gone too, nothing can be told.
 */
export function noteClient(name: string, client: string, isDurable: () => boolean): boolean {
  try {
    const key = noteOf(name);
    const before = localStorage.getItem(key);
    // Where nothing is kept, nothing can have been wiped.
    if (before === client || !isDurable()) {
      return false;
    }
    localStorage.setItem(key, client);
    return before !== null;
  } catch {
    return false;
  }
}

/** Forgets the note: what it speaks of was removed on purpose. */
export function forgetClient(name: string): void {
  try {
    localStorage.removeItem(noteOf(name));
  } catch {
    // Where there is no such storage, there is no note.
  }
}

function noteOf(name: string): string {
  return `webwaka:${name}:client`;
}
