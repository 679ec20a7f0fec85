// The browser is killed with SIGKILL at random moments, again and again over one profile: every operation whose
// promise had resolved must be on the server once. `WAKA_KILLS=100 node kills.mjs` is the full run.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { database } from "./harness/database.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { proxy } from "./harness/proxy.mjs";
import { server } from "./harness/server.mjs";
import { sleep, until } from "./harness/until.mjs";

const KILLS = Number(process.env.WAKA_KILLS ?? 6);

test(`what resolved before ${KILLS} kills of the browser is on the server once`, async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const line = await proxy(t, host.port);
  const chromium = await browser(t);
  const mint = () => host.token("ada", 600);
  /** Operations by sequence, as the page told of them. */
  const resolved = new Map();
  let offlineKills = 0;

  for (let round = 0; round < KILLS; round += 1) {
    // Some kills meet a browser that is sending, others one that is only storing.
    const offline = round % 3 === 2;
    line.set(offline ? "page only" : "open");
    offlineKills += offline ? 1 : 0;
    const tab = await fixtureTab(await chromium.tab(), line.url, {
      name: "kills",
      mint,
      resolved: (operation) => {
        assert.ok(!resolved.has(operation.seq), `sequence ${operation.seq} was given out twice`);
        resolved.set(operation.seq, operation);
      },
    });
    const before = resolved.size;
    // It ends with the browser.
    tab.evaluate((round) => fixture.submitForEver(round), round).catch(() => {});
    await until("the first operation resolves", () => resolved.size > before);
    await sleep(900 * Math.random());
    await chromium.kill();
    await chromium.start();
  }

  line.set("open");
  const tab = await fixtureTab(await chromium.tab(), line.url, { name: "kills", mint });
  const status = () => tab.evaluate(() => client.status);
  await until("the outbox is empty", async () => (await status()).pending === 0, 120_000);
  assert.deepEqual(
    await tab.evaluate(() => client.rejected().map(({ code, message }) => `${code}: ${message}`)),
    [],
  );

  const stored = database(host);
  stored.assertEachOnce();
  stored.assertInOrder();
  const judged = new Map(stored.judgements("ada").map((row) => [row.seq, row]));
  assert.equal(stored.held.clients.length, 1, "the storage of the client was lost between kills");
  const { actor } = stored.held.clients[0];
  const documents = new Map(stored.documents().map((document) => [document.id, document]));
  let missing = 0;
  for (const [seq, { id, field, number, durable }] of resolved) {
    assert.ok(durable, `operation ${seq} was not durable`);
    const outcome = judged.get(seq)?.judgement.outcome;
    if (outcome?.accepted === undefined) missing += 1;
    const document = documents.get(id);
    if (id.startsWith("shared-")) {
      // Later edits of the field may have come, unknown to the test; an earlier one must not have stayed.
      const { values } = document;
      assert.ok(values[field] >= number, `${field} of ${id}: ${values[field]} stayed against ${number}`);
    } else {
      // A document of its own shows the effect, by this operation and no other.
      assert.equal(document?.values[field], number, `document ${id}`);
      assert.deepEqual(document.writers[field], [actor, seq], `writer of ${id}`);
    }
  }
  const twice = stored.held.judgements.length - judged.size;
  const sum = `kills=${KILLS} (${offlineKills} offline) resolved=${resolved.size} on_server=${judged.size} missing=${missing} doubled=${twice}`;
  console.log(sum);
  t.diagnostic(sum);
  assert.equal(missing, 0);
  assert.equal(twice, 0);
});
