/** Every code of this version, and whether the same call may succeed later. */
export declare const RETRYABLE: {
    readonly unsupported_environment: false;
    readonly invalid_options: false;
    readonly invalid_value: false;
    readonly load_failed: true;
    readonly engine_failed: false;
    readonly engine_restarted: true;
    readonly slow_merge: false;
    readonly closed: false;
    readonly logged_out: false;
    readonly unsynced: true;
    readonly outcome_unknown: false;
    readonly in_use: true;
    readonly fenced: true;
    readonly update_needed: false;
    readonly denied: false;
    readonly full: true;
    readonly wrong_key: false;
    readonly corrupt: false;
    readonly failed: true;
    readonly not_durable: true;
    readonly storage_full: true;
    readonly storage_lost: true;
    readonly storage_wiped: false;
    readonly storage_damaged: false;
    readonly upgrade_blocked: true;
    readonly outbox_full: true;
    readonly unknown_collection: false;
    readonly too_large: false;
    readonly too_late: false;
    readonly not_rejected: false;
    readonly not_conflicted: false;
    readonly not_ready: true;
    readonly busy: true;
    readonly malformed: false;
    readonly unsupported_version: false;
    readonly frame_too_large: false;
    readonly too_deep: false;
    readonly too_many: false;
    readonly unexpected_frame: false;
    readonly timeout: true;
    readonly unauthenticated: true;
    readonly token_expired: true;
    readonly forbidden: false;
    readonly client_id_taken: false;
    readonly operation_id_reused: false;
    readonly invalid_operation: false;
    readonly document_too_large: false;
    readonly strategy_mismatch: false;
    readonly no_such_topic: false;
    readonly topic_closed: false;
    readonly topic_deleted: false;
    readonly topic_full: false;
    readonly too_many_topics: false;
    readonly content_type_mismatch: false;
    readonly bad_event: false;
    readonly event_too_large: false;
    readonly event_id_reused: false;
    readonly aborted: false;
    readonly dependency_failed: false;
    readonly migration_failed: false;
    readonly migration_dropped: false;
    readonly rate_limited: true;
    readonly overloaded: true;
    readonly storage_unavailable: true;
    readonly internal: true;
    readonly unknown: false;
};
/** A stable reason. Programs decide by it; messages are for people. A newer server may send other codes. */
export type ErrorCode = keyof typeof RETRYABLE | (string & {});
/** Anything that goes wrong, but for the caller's own abort, which rejects with the reason of its signal. */
export declare class RealtimeError extends Error {
    /** The stable reason. */
    readonly code: ErrorCode;
    /** Whether the same call may succeed later. */
    readonly retryable: boolean;
    constructor(code: ErrorCode, message: string, options?: {
        cause?: unknown;
        retryable?: boolean;
    });
}
/** Makes the one error class of whatever came out of the engine. */
export declare function realtimeError(thrown: unknown): RealtimeError;
