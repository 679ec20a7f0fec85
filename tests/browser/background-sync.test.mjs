import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { until } from "./harness/until.mjs";

const NAME = "background";
const TAG = "webwaka-realtime";

/** What the browser tells of the service worker, and a way to wake it as the browser does. */
async function serviceWorker(tab, origin) {
  const session = await tab.context().newCDPSession(tab);
  let registrationId;
  session.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
    const found = registrations.find(({ scopeURL }) => scopeURL === `${origin}/`);
    registrationId = found?.registrationId ?? registrationId;
  });
  await session.send("ServiceWorker.enable");
  await until("the service worker is registered", () => registrationId);
  return {
    sync: () =>
      session.send("ServiceWorker.dispatchSyncEvent", {
        origin,
        registrationId,
        tag: TAG,
        lastChance: false,
      }),
  };
}

test("a service worker sends once what a page left behind, and a page does not send it again", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const origin = new URL(line.url).origin;
  const options = { name: NAME, mint: () => host.token("ada", 600) };

  const page = await fixtureTab(await chromium.tab(), line.url, options);
  await page.evaluate((name) => fixture.askForBackgroundSync(name), NAME);
  line.set("page only");
  await until("the page is offline", () => page.evaluate(() => client.status.link === "down"));
  const ids = Array.from({ length: 30 }, (_, number) => `card-${number}`);
  const durable = await page.evaluate(async (ids) => {
    const cards = client.collection("cards");
    const submitted = await Promise.all(ids.map((id) => cards.put(id, { id })));
    return submitted.every((operation) => operation.durable);
  }, ids);
  assert.ok(durable);
  await until("the page has asked to be helped", () =>
    page.evaluate(async (tag) => {
      const { sync } = await navigator.serviceWorker.ready;
      return (await sync.getTags()).includes(tag);
    }, TAG),
  );

  // Another page of the site, without a client, stays open to look on.
  const onlooker = await chromium.tab();
  await onlooker.goto(line.url);
  const worker = await serviceWorker(onlooker, origin);
  await page.close();
  line.set("open");
  await worker.sync();
  const sent = () => database(host).judgements("ada").length;
  await until("the server has them", () => sent() === ids.length);

  const again = await fixtureTab(await chromium.tab(), line.url, options);
  await until("nothing waits", () => again.evaluate(() => client.status.pending === 0));
  const stored = database(host);
  stored.assertEachOnce();
  assert.equal(stored.held.clients.length, 1, "page and worker are one client");
  stored.assertHolds(ids);
});
