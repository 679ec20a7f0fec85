/**
 * To be run in a page before anything else: keeps the instances that it makes of the engine's module, and can ruin
 * the memory of the newest.
 */
export function keepInstances() {
  const instances = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = function (module, imports) {
    const instance = new Instance(module, imports);
    instances.push(instance);
    return instance;
  };
  globalThis.instances = instances;
  // Every pointer then leads out of bounds: whatever the engine does next is a trap of its own code.
  globalThis.ruin = () => new Uint8Array(instances.at(-1).exports.memory.buffer).fill(0xff);
}
