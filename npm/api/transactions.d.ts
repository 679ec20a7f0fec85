import type { RealtimeError } from "./errors.js";
import type { Waiting } from "./outcome.js";
/** How a critical transaction is sent. There is no way to queue one. */
export interface TransactionOptions extends AskOptions {
    /**
     * What makes a repetition known as one: 1 to 128 printable characters of ASCII, as random as a UUID. Keep it before the call
     * where the outcome matters beyond the life of the page. Without one a random key is made, which every error has.
     */
    idempotencyKey?: string;
}
/** Marks what was decided, so that it does not pass as an event. No object has it. */
export declare const decided: unique symbol;
/** Whatever was decided. */
interface Decided {
    /** Whether an earlier call of the key was told the same. */
    readonly replayed: boolean;
    readonly [decided]?: true;
}
/**
 * What the server has decided, now or when the same was asked before. It is no event: to publish it does not compile, and is
 * refused.
 */
export type TransactionOutcome<T = unknown> = QueryAnswer<T> & Decided;
/** How a question is asked. */
export interface AskOptions extends Waiting {
    /** For how many milliseconds to try. Default: 30,000. */
    timeout?: number;
}
/** What the application on the server says. */
export type QueryAnswer<T = unknown> = 
/** It has an answer. */
{
    readonly type: "done";
    /** The application's answer. */
    readonly answer: T;
}
/** The application on the server has decided against it. Nothing was changed, and a key gets no other answer. */
 | {
    readonly type: "refused";
    /** The application's code. */
    readonly code: string;
    /** For people. */
    readonly message: string;
};
/**
 * There is no outcome to tell. `offline`: there is no connection; nothing was sent, and nothing has happened.
 * `outcome_unknown`: the answer did not come, and **it may have happened**; call again with this key and the same body, and
 * the outcome is told then. With any other code the server did not take it, and nothing has happened.
 */
export interface TransactionError extends RealtimeError {
    /** The key of the call. */
    readonly idempotencyKey: string;
}
export {};
