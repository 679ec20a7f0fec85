import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const NAME = "shared-phone";
/** What shows that something is not encrypted. The name is quoted as in JSON: the letters alone come by chance in Base64. */
const PLAIN = /secret|"ada"/;

/** A server, a line to it that can be cut, and a browser with one tab in which Ada is logged in. */
async function setUp(t) {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const mint = (subject) => () => host.token(subject, 600);
  const tab = (subject) =>
    chromium.tab().then((page) => fixtureTab(page, line.url, { name: NAME, mint: mint(subject) }));
  return { host, line, chromium, mint, tab, ada: await tab("ada") };
}

const isConnected = (tab) => until("it is connected", () => tab.evaluate(() => client.status.link === "up"));

/** Saves documents of these names. */
const put = (tab, ids) =>
  tab.evaluate((ids) => {
    const cards = client.collection("cards");
    return Promise.all(ids.map((id) => cards.put(id, { secret: id }))).then(() => undefined);
  }, ids);

/** Logs out; gives the result, or the code of the error. */
const logout = (tab, policy, passphrase) =>
  tab.evaluate(
    async ([policy, passphrase]) => {
      const encryption = passphrase && (await fixture.encryption(passphrase));
      const options = { policy, ...(encryption && { encryption }) };
      return client.logout({ ...options, signal: AbortSignal.timeout(2_000) }).catch(({ code }) => code);
    },
    [policy, passphrase],
  );

/** Everything that the databases of the client hold, as text. */
const onDisk = (tab) =>
  tab.evaluate(async () => {
    const texts = [];
    for (const { name } of await indexedDB.databases()) {
      const database = await new Promise((opened) => {
        indexedDB.open(name).onsuccess = (event) => opened(event.target.result);
      });
      for (const store of database.objectStoreNames) {
        const rows = database.transaction(store).objectStore(store).getAll();
        await new Promise((read) => (rows.onsuccess = read));
        texts.push(...rows.result.map(String));
      }
      database.close();
    }
    return texts.join("\n");
  });

test("nobody is logged out while something has not reached the server", async (t) => {
  const { host, line, ada, chromium, mint } = await setUp(t);
  await isConnected(ada);
  line.set("page only");
  await until("it is offline", () => ada.evaluate(() => client.status.link === "down"));
  await put(ada, ["one", "two"]);
  assert.equal(await logout(ada, "block"), "unsynced");
  await put(ada, ["three"]);
  line.set("open");
  await until("nothing waits", () => ada.evaluate(() => client.status.pending === 0));
  assert.deepEqual(await logout(ada, "block"), { parked: 0, lost: 0 });
  assert.doesNotMatch(await onDisk(ada), PLAIN);

  // Whoever comes next is a client of their own, and is not told of a loss.
  const page = await chromium.tab();
  const ben = await fixtureTab(page, line.url, { name: NAME, mint: mint("ben") });
  await isConnected(ben);
  await put(ben, ["four"]);
  await until("nothing waits", () => ben.evaluate(() => client.status.pending === 0));
  assert.deepEqual(await ben.evaluate(() => fixture.incidents), []);
  const subjects = database(host).held.clients.map(({ subject }) => subject);
  assert.deepEqual(subjects.sort(), ["ada", "ben"]);
});

test("what is shredded is gone, in every tab, and counted", async (t) => {
  const { host, line, tab, ada } = await setUp(t);
  const second = await tab("ada");
  await isConnected(ada);
  line.set("page only");
  await until("it is offline", () => ada.evaluate(() => client.status.link === "down"));
  await put(second, ["one", "two"]);
  await until("both tabs see them", () => ada.evaluate(() => client.status.pending === 2));
  // By whichever tab does not lead: the other one has to give the storage up.
  const roles = await Promise.all([ada, second].map((page) => page.evaluate(() => client.status.role)));
  const follower = [ada, second][roles.indexOf("follower")];
  assert.deepEqual(await logout(follower, "shred"), { parked: 0, lost: 2 });
  const other = follower === ada ? second : ada;
  await until("the other tab is told", () =>
    other.evaluate(() => fixture.incidents.some(({ type }) => type === "loggedOut")),
  );
  const late = other.evaluate(() =>
    client
      .collection("cards")
      .put("late", {})
      .catch(({ code }) => code),
  );
  assert.equal(await late, "logged_out");
  assert.doesNotMatch(await onDisk(follower), PLAIN);
  line.set("open");
  await follower.evaluate((name) => fixture.open(name), NAME);
  await isConnected(follower);
  assert.deepEqual(database(host).documents(), []);
});

test("what is parked waits encrypted for its owner, and is sent once", async (t) => {
  const { host, line, ada } = await setUp(t);
  await isConnected(ada);
  line.set("page only");
  await until("it is offline", () => ada.evaluate(() => client.status.link === "down"));
  const ids = Array.from({ length: 20 }, (_, number) => `card-${number}`);
  await put(ada, ids);
  assert.equal(await logout(ada, "park"), "invalid_options");
  assert.deepEqual(await logout(ada, "park", "ada's own"), { parked: 20, lost: 0 });
  assert.doesNotMatch(await onDisk(ada), PLAIN);

  for (const passphrase of [undefined, "somebody else's"]) {
    const opening = ada.evaluate(
      ([name, passphrase]) => fixture.open(name, passphrase).catch(({ code }) => code),
      [NAME, passphrase],
    );
    assert.equal(await opening, "wrong_key");
  }
  line.set("open");
  await ada.evaluate(([name, passphrase]) => fixture.open(name, passphrase), [NAME, "ada's own"]);
  await until("nothing waits", () => ada.evaluate(() => client.status.pending === 0));
  const stored = database(host);
  stored.assertEachOnce();
  stored.assertHolds(ids);
  assert.equal(stored.held.clients.length, 1);
});
