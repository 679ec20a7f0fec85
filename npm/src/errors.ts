/** Every code of this version, and whether the same call may succeed later. */
export const RETRYABLE = {
  // This package's own.
  unsupported_environment: false,
  invalid_options: false,
  invalid_value: false,
  load_failed: true,
  engine_failed: false,
  engine_restarted: true,
  slow_merge: false,
  closed: false,
  logged_out: false,
  unsynced: true,
  outcome_unknown: false,
  // The device's.
  in_use: true,
  fenced: true,
  update_needed: false,
  denied: false,
  full: true,
  wrong_key: false,
  corrupt: false,
  failed: true,
  not_durable: true,
  storage_full: true,
  storage_lost: true,
  storage_wiped: false,
  storage_damaged: false,
  upgrade_blocked: true,
  outbox_full: true,
  unknown_collection: false,
  too_large: false,
  too_late: false,
  not_rejected: false,
  not_conflicted: false,
  not_ready: true,
  busy: true,
  // The server's; `tests/vectors/error-codes.json` has the same list.
  malformed: false,
  unsupported_version: false,
  frame_too_large: false,
  too_deep: false,
  too_many: false,
  unexpected_frame: false,
  timeout: true,
  unauthenticated: true,
  token_expired: true,
  forbidden: false,
  client_id_taken: false,
  operation_id_reused: false,
  invalid_operation: false,
  document_too_large: false,
  strategy_mismatch: false,
  no_such_topic: false,
  topic_closed: false,
  topic_deleted: false,
  topic_full: false,
  too_many_topics: false,
  content_type_mismatch: false,
  bad_event: false,
  event_too_large: false,
  event_id_reused: false,
  aborted: false,
  dependency_failed: false,
  migration_failed: false,
  migration_dropped: false,
  rate_limited: true,
  overloaded: true,
  storage_unavailable: true,
  internal: true,
  // How the engine tells a code that it does not know.
  unknown: false,
} as const;

/** A stable reason. Programs decide by it; messages are for people. A newer server may send other codes. */
export type ErrorCode = keyof typeof RETRYABLE | (string & {});

/** Anything that goes wrong, but for the caller's own abort, which rejects with the reason of its signal. */
export class RealtimeError extends Error {
  /** The stable reason. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; retryable?: boolean }) {
    super(message, options && "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable =
      options?.retryable ?? (Object.hasOwn(RETRYABLE, code) && RETRYABLE[code as keyof typeof RETRYABLE]);
  }

  static {
    // On the prototype, as the platform's own errors have it: not a property of each error.
    Object.defineProperty(this.prototype, "name", {
      value: "RealtimeError",
      configurable: true,
      writable: true,
    });
  }
}

/** What the engine throws or sends: an object with a code. */
interface Coded {
  code: string;
  message?: unknown;
  retryable?: unknown;
}

/** Makes the one error class of whatever came out of the engine. */
export function realtimeError(thrown: unknown): RealtimeError {
  if (thrown instanceof RealtimeError) {
    return thrown;
  }
  if (isCoded(thrown)) {
    return new RealtimeError(thrown.code, String(thrown.message ?? thrown.code), {
      ...(thrown instanceof Error && { cause: thrown }),
      ...(typeof thrown.retryable === "boolean" && { retryable: thrown.retryable }),
    });
  }
  // A trap of WebAssembly ends up here: the engine is in an unknown state, its storage is not.
  return new RealtimeError("engine_failed", "the engine failed; what is saved on this device is intact", {
    cause: thrown,
  });
}

function isCoded(thrown: unknown): thrown is Coded {
  return typeof thrown === "object" && thrown !== null && "code" in thrown && typeof thrown.code === "string";
}
