/** The codes after which the same call may succeed later. */
export declare const RETRYABLE: readonly ["load_failed", "engine_restarted", "offline", "unsynced", "in_use", "fenced", "full", "failed", "not_durable", "storage_full", "storage_lost", "upgrade_blocked", "outbox_full", "not_ready", "busy", "not_connected", "slow_consumer", "timeout", "unauthenticated", "token_expired", "rate_limited", "overloaded", "storage_unavailable", "internal"];
/**
 * The other codes of this version. Types alone, so that no page downloads them. With those above they are this package's
 * own, the device's, and the server's, of which `tests/vectors/error-codes.json` has the list; `unknown` is how the engine
 * tells a code that it does not know.
 */
export type FinalCode = "unsupported_environment" | "invalid_options" | "invalid_value" | "engine_failed" | "slow_merge" | "closed" | "logged_out" | "outcome_unknown" | "update_needed" | "denied" | "wrong_key" | "corrupt" | "storage_wiped" | "storage_damaged" | "unknown_collection" | "too_large" | "bad_room" | "room_full" | "too_many_rooms" | "state_too_large" | "message_too_large" | "replaced" | "not_in_room" | "too_late" | "not_rejected" | "not_conflicted" | "malformed" | "unsupported_version" | "frame_too_large" | "too_deep" | "too_many" | "unexpected_frame" | "forbidden" | "client_id_taken" | "operation_id_reused" | "invalid_operation" | "document_too_large" | "strategy_mismatch" | "no_such_topic" | "topic_closed" | "topic_deleted" | "topic_full" | "too_many_topics" | "content_type_mismatch" | "bad_event" | "event_too_large" | "event_id_reused" | "transaction_misplaced" | "bad_idempotency_key" | "no_such_transaction" | "idempotency_key_reused" | "too_many_idempotency_keys" | "too_many_records" | "transaction_failed" | "events_backlog" | "aborted" | "dependency_failed" | "migration_failed" | "migration_dropped" | "unknown";
/** A stable reason. Programs decide by it; messages are for people. A newer server may send other codes. */
export type ErrorCode = (typeof RETRYABLE)[number] | FinalCode | (string & {});
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
