import type { Client } from "./types.js";
/** What both sides of a sync can choose. */
export interface BackgroundSyncOptions {
    /** Names the sync to the browser; one for each client name is enough. Default: `"webwaka-realtime"`. */
    tag?: string | undefined;
}
/** What the service worker can choose. */
export interface AnswerOptions extends BackgroundSyncOptions {
    /** Milliseconds to send for, at most, before the browser is asked to wake the worker again. Default: 60,000. */
    patience?: number | undefined;
}
/**
 * In a page: asks the browser to wake the service worker once there is a network, for as long as operations wait
 * to be sent. Where the browser has no such thing nothing is asked, and what waits is sent when a page is open.
 *
 * The function returned ends that; so does the end of the client.
 */
export declare function askForBackgroundSync(client: Client, options?: BackgroundSyncOptions): () => void;
/**
 * In a service worker, while its script runs for the first time: answers the browser's wake-up by sending what waits
 * in the outbox. `open` makes the client as the page does, with the same name and collections.
 *
 * Operations keep their ids, so that what a page and the worker both send has one effect. The client is closed when
 * nothing waits any more, or after `patience`; then the event fails, which makes the browser try again later. An
 * operation leaves the outbox only after the server has judged it, whatever becomes of the worker.
 */
export declare function answerBackgroundSync(open: () => Promise<Client>, options?: AnswerOptions): void;
