/**
 * Commits a transaction that writes, for which everything has been asked. By itself it would end once its page has heard of all
 * results; if the page is frozen before, or hangs, no other page could write. It does so in browsers that freeze pages, and
 * not in Firefox, which commits explicitly over a request that has failed.
 */
export function commit(transaction: IDBTransaction): void {
  if ("onfreeze" in (globalThis.document ?? {})) {
    transaction.commit();
  }
}
