import { stream } from "@durable-streams/client";

import { taking } from "../taking.mjs";

const { take, current } = taking();
export { current };

export function follow({ url }) {
  let offset = "now";
  void (async () => {
    for (;;) {
      // A connection that broke is given back to the user of the client, who knows the position.
      const read = await stream({ url: `${url}/feed`, offset, live: true, warnOnHttp: false }).catch(
        () => {},
      );
      if (read) {
        read.subscribeJson(async (batch) => {
          offset = batch.offset;
          take(batch.items);
        });
        await read.closed.catch(() => {});
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
}
