import { createClient } from "@webwaka/realtime";
import { each } from "./each.mjs";

/** The public interface, without a network: `put` resolves once the operation is durable on this device. */
export const ours = () => async (name) => {
  const client = await createClient({
    url: location.origin,
    token: "none is needed without a network",
    collections: { documents: "fieldLevel" },
    name,
    wasm: new URL("/engine.wasm", location.origin),
  });
  client.setNetwork(false);
  const documents = client.collection("documents");
  const one = async (id, value) => {
    const operation = await documents.put(id, value);
    if (!operation.durable) throw new Error("the browser gave no storage: there is nothing to measure");
  };
  return { one, all: each(one), close: () => client.close() };
};
