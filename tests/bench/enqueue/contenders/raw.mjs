// IndexedDB itself. With all values in one transaction it is the limit for whatever is built on it.

/** @param {IDBTransactionDurability} durability */
export const raw = (durability) => async (name) => {
  const database = await request(
    Object.assign(indexedDB.open(name), {
      onupgradeneeded: ({ target }) => target.result.createObjectStore("documents"),
    }),
  );
  const write = (entries) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction("documents", "readwrite", { durability });
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
      const store = transaction.objectStore("documents");
      for (const [id, value] of entries) store.put(value, id);
    });
  return {
    one: (id, value) => write([[id, value]]),
    all: write,
    close: () => database.close(),
  };
};

function request(open) {
  return new Promise((resolve, reject) => {
    open.onsuccess = () => resolve(open.result);
    open.onerror = () => reject(open.error);
  });
}
