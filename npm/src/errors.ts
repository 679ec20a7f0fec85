/** The codes of this version. A newer engine or server may send others. */
type KnownCode =
  // This package's own.
  | "unsupported_environment"
  | "invalid_options"
  | "invalid_value"
  | "load_failed"
  | "engine_failed"
  | "closed"
  // The device's.
  | "not_durable"
  | "outbox_full"
  | "unknown_collection"
  | "too_large"
  | "invalid"
  | "in_use"
  | "denied"
  | "full"
  | "corrupt"
  | "failed"
  // The server's.
  | "malformed"
  | "unsupported_version"
  | "frame_too_large"
  | "too_deep"
  | "too_many"
  | "unexpected_frame"
  | "timeout"
  | "unauthenticated"
  | "token_expired"
  | "forbidden"
  | "client_id_taken"
  | "operation_id_reused"
  | "invalid_operation"
  | "document_too_large"
  | "strategy_mismatch"
  | "rate_limited"
  | "overloaded"
  | "storage_unavailable"
  | "internal";

/** A stable reason. Programs decide by it; messages are for people. */
export type ErrorCode = KnownCode | (string & {});

const RETRYABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "load_failed",
  "not_durable",
  "outbox_full",
  "in_use",
  "full",
  "timeout",
  "rate_limited",
  "overloaded",
  "storage_unavailable",
  "internal",
]);

/** Anything that goes wrong, but for the caller's own abort, which rejects with the reason of its signal. */
export class RealtimeError extends Error {
  /** The stable reason. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; retryable?: boolean }) {
    super(message, options && "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options?.retryable ?? RETRYABLE.has(code);
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
