import assert from "node:assert/strict";
import { test } from "node:test";

import { browser } from "./harness/browser.mjs";
import { fixtureSite, fixtureTab } from "./harness/fixture.mjs";
import { server } from "./harness/server.mjs";

const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("frames and transactions name the trace that the page is in, and nothing that is none", async (t) => {
  const host = await server(t, { web: await fixtureSite(t) });
  const tab = await fixtureTab(await (await browser(t)).tab(), host.url(), {
    name: "traces",
    mint: () => host.token("ada", 600),
  });
  const sent = await tab.evaluate(async (parent) => {
    const sent = { frames: [], headers: [] };
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
      sent.frames.push(text);
      return send.call(this, text);
    };
    const { fetch } = globalThis;
    globalThis.fetch = (url, options) => {
      sent.headers.push(new Headers(options.headers).get("traceparent"));
      return fetch(url, options);
    };
    const cards = client.collection("cards");
    for (const [id, trace] of [
      ["none", undefined],
      ["traced", parent],
      ["wrong", '"no trace"'],
    ]) {
      globalThis.traceparent = trace;
      await (await cards.put(id, {})).outcome();
      await client.transaction("ledger.open", { account: id, currency: "NGN" }).catch(() => undefined);
    }
    return sent;
  }, PARENT);
  const of = (id) =>
    sent.frames
      .map((text) => JSON.parse(text).push)
      .find((push) => push?.operations.some(({ doc }) => doc[1] === id));
  assert.deepEqual(
    ["none", "traced", "wrong"].map((id) => of(id).traceparent),
    [undefined, PARENT, undefined],
  );
  assert.deepEqual(sent.headers, [null, PARENT, null]);
});
