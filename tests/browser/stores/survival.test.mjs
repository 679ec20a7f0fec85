// What browsers do to storage, and what the store then says and keeps.
import assert from "node:assert/strict";
import { after, test } from "node:test";

import { open, start } from "./harness.mjs";

const tests = await start();
after(() => tests.stop());

/** A test in a profile of its own, with a store open in a page. `before` runs in the page before anything else. */
function withStore(name, body, before) {
  test(name, () =>
    tests.inProfile(async (profile) => {
      const { page, run } = await open(profile, tests.url, before);
      await run(async () => (globalThis.store = await globalThis.stores.HeldStore.open("app")));
      await body({ profile, page, run });
    }),
  );
}

withStore("another library reads what was written, in the same order", async ({ run }) => {
  // By UTF-16 the last two would change places.
  const ids = ["a", "z", "é", "～", "😀"];
  await run(async (ids) => {
    await globalThis.store.writeOutbox(7, "seven");
    await globalThis.store.writeOutbox(2 ** 53 - 1, "last");
    await globalThis.store.writeReplica([...ids].reverse(), "text", false);
  }, ids);
  assert.deepEqual(await run(() => globalThis.reader.readStored("app")), {
    outbox: [
      [7, "seven"],
      [2 ** 53 - 1, "last"],
    ],
    meta: "meta",
    documents: ids.map((id) => ["cards", id, "text"]),
    cursors: [["cards", '{"epoch":"epoch","offset":1}']],
  });
});

test("a reload takes over from the page before it", () =>
  tests.inProfile(async (profile) => {
    const first = await open(profile, tests.url);
    await first.run(async () => {
      globalThis.store = await globalThis.stores.HeldStore.open("app");
      await globalThis.store.writeOutbox(1, "kept");
    });
    await first.page.close();
    const second = await open(profile, tests.url);
    const outbox = await second.run(async () => (await globalThis.stores.HeldStore.open("app")).outbox());
    assert.deepEqual(outbox, ["kept"]);
  }));

withStore(
  "a page that opens the store takes it over: the earlier one can write nothing more",
  async (context) => {
    await context.run(() => globalThis.store.writeOutbox(1, "first"));
    const second = await open(context.profile, tests.url);
    await second.run(async () => (globalThis.store = await globalThis.stores.HeldStore.open("app")));
    await assert.rejects(
      context.run(() => globalThis.store.writeOutbox(2, "too late")),
      /Fenced/,
    );
    await second.run(() => globalThis.store.writeOutbox(3, "second"));
    assert.deepEqual(await second.run(() => globalThis.store.outbox()), ["first", "second"]);
  },
);

withStore("a submission becomes an operation in the commit that stores it, or stays", async (context) => {
  const submissions = () =>
    new Promise((done, failed) => {
      const opening = indexedDB.open("webwaka:app:outbox");
      opening.onerror = () => failed(opening.error);
      opening.onsuccess = () => {
        const transaction = opening.result.transaction("submissions");
        const store = transaction.objectStore("submissions");
        const found = [store.getAllKeys(), store.getAll()];
        transaction.oncomplete = () => done(found.map(({ result }) => result));
      };
    });
  await context.run(
    () =>
      new Promise((done, failed) => {
        const opening = indexedDB.open("webwaka:app:outbox");
        opening.onerror = () => failed(opening.error);
        opening.onsuccess = () => {
          const transaction = opening.result.transaction("submissions", "readwrite");
          ["a", "b"].forEach((key) => transaction.objectStore("submissions").put("draft", key));
          transaction.oncomplete = () => done(opening.result.close());
        };
      }),
  );
  await context.run(() => globalThis.store.adopt(7, "operation", "a"));
  assert.deepEqual(await context.run(submissions), [
    ["a", "b"],
    [7, "draft"],
  ]);
  const second = await open(context.profile, tests.url);
  await second.run(() => globalThis.stores.HeldStore.open("app"));
  await assert.rejects(
    context.run(() => globalThis.store.adopt(8, "operation", "b")),
    /Fenced/,
  );
  assert.deepEqual(await second.run(submissions), [
    ["a", "b"],
    [7, "draft"],
  ]);
});

withStore("a closed store finishes what it was writing and takes nothing more", async ({ run }) => {
  const outcome = await run(async () => {
    const writing = globalThis.store.writeOutbox(1, "under way");
    // An exported function begins its work in the next microtask.
    await null;
    globalThis.store.close();
    await writing;
    const late = await globalThis.store.writeOutbox(2, "late").catch((error) => error.message);
    const outbox = await (await globalThis.stores.HeldStore.open("app")).outbox();
    return { late, outbox };
  });
  assert.match(outcome.late, /closed/);
  assert.deepEqual(outcome.outbox, ["under way"]);
});

withStore(
  "an outbox deleted by another page is not written to as if nothing had happened",
  async (context) => {
    await context.run(() => globalThis.store.writeOutbox(1, "gone"));
    const other = await open(context.profile, tests.url);
    await other.run(deleteDatabase, "webwaka:app:outbox");
    // Told once, so that what it held can be written again before anything else is.
    await assert.rejects(
      context.run(() => globalThis.store.writeOutbox(2, "refused")),
      /Lost/,
    );
    assert.deepEqual(await context.run(() => globalThis.store.outbox()), []);
    await context.run(() => globalThis.store.writeOutbox(1, "again"));
    assert.deepEqual(await context.run(() => globalThis.store.outbox()), ["again"]);
  },
);

withStore(
  "a write that may have happened before another page took over is not told as one that was fenced",
  async ({ run }) => {
    const outcome = await run(async () => {
      const { store, stores } = globalThis;
      const begin = IDBDatabase.prototype.transaction;
      let other;
      // It is committed, and said to have failed; until that is heard another one takes over.
      IDBDatabase.prototype.transaction = function (...options) {
        IDBDatabase.prototype.transaction = begin;
        const transaction = begin.apply(this, options);
        let told;
        Object.defineProperty(transaction, "error", { value: new DOMException("", "AbortError") });
        Object.defineProperty(transaction, "oncomplete", { set: () => {} });
        Object.defineProperty(transaction, "onabort", { set: (handler) => (told = handler) });
        transaction.addEventListener("complete", async () => {
          other = await stores.HeldStore.open("app");
          told();
        });
        return transaction;
      };
      const unclear = await store.writeOutbox(1, "happened").catch((error) => error.message);
      const late = await store.writeOutbox(2, "late").catch((error) => error.message);
      return { unclear, late, outbox: await other.outbox() };
    });
    assert.match(outcome.unclear, /AbortError/);
    assert.match(outcome.late, /Fenced/);
    assert.deepEqual(outcome.outbox, ["happened"]);
  },
);

/** Has the browser fail as WebKit does when it has lost its database process: `times` calls in a row. */
const losesItsServer = (times) => {
  for (const [prototype, method] of [
    [IDBDatabase.prototype, "transaction"],
    [IDBFactory.prototype, "open"],
  ]) {
    const works = prototype[method];
    prototype[method] = function (...options) {
      if (globalThis.armed && times > 0) {
        times -= 1;
        const message = "Connection to Indexed Database server lost. Refresh the page to try again";
        throw new DOMException(message, "UnknownError");
      }
      return works.apply(this, options);
    };
  }
};

test("a connection that the browser has lost is replaced, and the work done once more", () =>
  tests.inProfile(async (profile) => {
    const { page, run } = await open(profile, tests.url);
    await page.evaluate(losesItsServer, 1);
    const seen = await run(async () => {
      const store = await globalThis.stores.HeldStore.open("app");
      globalThis.armed = true;
      await store.writeOutbox(1, "kept");
      return { durable: store.isDurable(), outbox: await store.outbox() };
    });
    assert.deepEqual(seen, { durable: true, outbox: ["kept"] });
  }));

test("a browser that does not find its database again is told as a failure, never as saved", () =>
  tests.inProfile(async (profile) => {
    const { page, run } = await open(profile, tests.url);
    await page.evaluate(losesItsServer, 2);
    await run(async () => (globalThis.store = await globalThis.stores.HeldStore.open("app")));
    await page.evaluate(() => void (globalThis.armed = true));
    await assert.rejects(
      run(() => globalThis.store.writeOutbox(1, "refused")),
      /Failed/,
    );
    // It is there again.
    await run(() => globalThis.store.writeOutbox(2, "kept"));
    assert.deepEqual(await run(() => globalThis.store.outbox()), ["kept"]);
  }));

withStore("a replica deleted by another page is rebuilt, and the outbox is untouched", async (context) => {
  await context.run(async () => {
    await globalThis.store.writeOutbox(1, "kept");
    await globalThis.store.writeReplica(["a"], "text", false);
  });
  const other = await open(context.profile, tests.url);
  await other.run(deleteDatabase, "webwaka:app:replica");
  // Neither an incomplete collection nor a cursor that claims to be complete.
  await assert.rejects(
    context.run(() => globalThis.store.documents()),
    /Corrupt/,
  );
  await assert.rejects(
    context.run(() => globalThis.store.writeReplica(["b"], "text", false)),
    /Corrupt/,
  );
  await context.run(() => globalThis.store.writeReplica(["c"], "text", true));
  assert.deepEqual(await context.run(() => globalThis.store.documents()), ["c"]);
  assert.deepEqual(await context.run(() => globalThis.store.outbox()), ["kept"]);
  assert.equal(await context.run(() => globalThis.store.isDurable()), true);
});

withStore("storage cleared by the user closes the connection, and the loss is told", async (context) => {
  await context.run(() => globalThis.store.writeOutbox(1, "gone"));
  const devtools = await context.profile.newCDPSession(context.page);
  await devtools.send("Storage.clearDataForOrigin", {
    origin: new URL(tests.url).origin,
    storageTypes: "indexeddb",
  });
  await assert.rejects(
    context.run(() => globalThis.store.writeOutbox(2, "lost")),
    /Lost/,
  );
});

test("a replica that another program has spoilt reads as none, and can be replaced", () =>
  tests.inProfile(async (profile) => {
    const { run } = await open(profile, tests.url);
    await run(
      () =>
        new Promise((done, failed) => {
          const request = indexedDB.open("webwaka:app:replica", 2);
          request.onupgradeneeded = () => request.result.createObjectStore("something else");
          request.onsuccess = () => done(request.result.close());
          request.onerror = () => failed(request.error);
        }),
    );
    const seen = await run(async () => {
      const store = await globalThis.stores.HeldStore.open("app");
      const before = await store.cursors();
      await store.writeReplica(["a"], "text", true);
      return { before, after: await store.cursors(), documents: await store.documents() };
    });
    assert.deepEqual(seen, { before: undefined, after: 1, documents: ["a"] });
  }));

test("a database of a newer version is opened as it is", () =>
  tests.inProfile(async (profile) => {
    const { run } = await open(profile, tests.url);
    await run(
      () =>
        new Promise((done, failed) => {
          const request = indexedDB.open("webwaka:app:outbox", 5);
          request.onupgradeneeded = () =>
            ["records", "meta", "submissions", "fence", "later"].forEach((name) =>
              request.result.createObjectStore(name),
            );
          request.onsuccess = () => done(request.result.close());
          request.onerror = () => failed(request.error);
        }),
    );
    const outbox = await run(async () => {
      const store = await globalThis.stores.HeldStore.open("app");
      await store.writeOutbox(1, "kept");
      return store.outbox();
    });
    assert.deepEqual(outbox, ["kept"]);
  }));

test("a full disk is told, nothing of the batch is written, and there is room again later", () =>
  tests.inProfile(async (profile) => {
    const { page, run } = await open(profile, tests.url);
    const devtools = await profile.newCDPSession(page);
    const origin = new URL(tests.url).origin;
    // Before the first write: Chromium remembers for a while how much room there was.
    await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1_000_000 });
    await run(async () => {
      globalThis.store = await globalThis.stores.HeldStore.open("app");
      await globalThis.store.writeReplica(["before"], "text", false);
    });
    const large = () => globalThis.store.writeReplica(["one", "two"], "x".repeat(3_000_000), false);
    await assert.rejects(run(large), /Full/);
    assert.deepEqual(await run(() => globalThis.store.documents()), ["before"]);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin });
    await run(large);
    assert.deepEqual(await run(() => globalThis.store.documents()), ["before", "one", "two"]);
  }));

const DENIALS = {
  "without IndexedDB": () => Object.defineProperty(globalThis, "indexedDB", { value: undefined }),
  "where IndexedDB may not even be asked for": () =>
    Object.defineProperty(globalThis, "indexedDB", {
      get() {
        throw new DOMException("denied", "SecurityError");
      },
    }),
  "where opening a database throws": () => {
    IDBFactory.prototype.open = () => {
      throw new DOMException("denied", "SecurityError");
    };
  },
};

for (const [where, deny] of Object.entries(DENIALS)) {
  withStore(
    `${where} everything is kept in memory, and said to be`,
    async ({ run }) => {
      const seen = await run(async () => {
        await globalThis.store.writeOutbox(1, "one");
        return { durable: globalThis.store.isDurable(), outbox: await globalThis.store.outbox() };
      });
      assert.deepEqual(seen, { durable: false, outbox: ["one"] });
    },
    deny,
  );
}

withStore("the outbox is written with strict durability, the replica relaxed", async ({ run }) => {
  const asked = await run(async () => {
    const asked = [];
    const begin = IDBDatabase.prototype.transaction;
    IDBDatabase.prototype.transaction = function (...options) {
      const transaction = begin.apply(this, options);
      asked.push([this.name, transaction.mode, transaction.durability]);
      return transaction;
    };
    await globalThis.store.writeOutbox(1, "one");
    await globalThis.store.writeReplica(["a"], "text", false);
    return asked;
  });
  assert.deepEqual(asked, [
    ["webwaka:app:outbox", "readwrite", "strict"],
    ["webwaka:app:replica", "readwrite", "relaxed"],
  ]);
});

/** In the page: deletes a database, as a debugging tool or another program of the same origin may. */
function deleteDatabase(name) {
  return new Promise((done, failed) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => done();
    request.onerror = () => failed(request.error);
    request.onblocked = () => failed(new Error("a connection stayed open when it was asked to close"));
  });
}
