/** A topic of the server's, as a program sees it that speaks plain HTTP. */
export async function topic(host, retention = {}) {
  const ask = async (method, body, more) => {
    const authorization = `Bearer ${host.token("shop", 600)}`;
    const headers = { authorization, "content-type": "application/json", ...more };
    const answer = await fetch(`${host.url()}/v1/streams/orders/eu`, { method, body, headers });
    if (!answer.ok) throw new Error(`${method} was answered ${answer.status}`);
  };
  await ask("PUT", undefined, retention);
  return { publish: (...events) => ask("POST", JSON.stringify(events)) };
}

/** What a page has heard of it. */
export const heard = (tab) => tab.evaluate(() => fixture.heard);
