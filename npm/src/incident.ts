import { type ErrorCode, RealtimeError } from "./errors.js";
import type { Incident, IncidentType } from "./types.js";

/** What befalls the storage as a whole, with code and words. */
const OF_STORAGE = {
  storageLost: [
    "storage_lost",
    "what was saved on this device was deleted while the client was open; what had not reached the server is saved again",
  ],
  storageWiped: [
    "storage_wiped",
    "what an earlier client had saved on this device is gone, with whatever had not reached the server; this one begins anew",
  ],
  upgradeBlocked: [
    "upgrade_blocked",
    "another page keeps an older version of the storage open; close it, or reload it",
  ],
} as const satisfies Partial<Record<IncidentType, readonly [ErrorCode, string]>>;

/** An incident of the storage. */
export type StorageIncident = keyof typeof OF_STORAGE;

/** Describes it. */
export function storageIncident(type: StorageIncident): Incident {
  const [code, message] = OF_STORAGE[type];
  return Object.freeze({ type, error: new RealtimeError(code, message) });
}

/** Describes that so many records were found damaged. */
export function storageDamaged(records: number): Incident {
  const message = `${records} record(s) of edits that were saved on this device cannot be read, or nobody knows whose they are; they stay there and are not sent, all others are`;
  return Object.freeze({ type: "storageDamaged", error: new RealtimeError("storage_damaged", message) });
}

/** Whether an event of the engine is the name of one. */
export function isStorageIncident(event: unknown): event is StorageIncident {
  return typeof event === "string" && Object.hasOwn(OF_STORAGE, event);
}
