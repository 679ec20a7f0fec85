import { createClient } from "@webwaka/realtime";

import { taking } from "../taking.mjs";

const { take, current } = taking();
export { current };

export async function follow({ url, token }) {
  const client = await createClient({
    url,
    token,
    collections: {},
    wasm: new URL("/engine.wasm", location.origin),
  });
  const following = (async () => {
    for await (const { data, gap } of client.topic("feed").subscribe()) {
      if (gap) throw new Error("events were lost");
      take([data]);
    }
  })();
  following.catch((error) => console.error(String(error)));
}
