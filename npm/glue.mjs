import { asFactory } from "./factory.mjs";

/**
 * Has esbuild put the engine's glue where `src` imports it.
 *
 * @param {string} path where it lies
 * @param {string} text JavaScript, as it is there or shortened
 */
export function glue(path, text) {
  return {
    name: "glue",
    /** @param {import("esbuild").PluginBuild} build */
    setup(build) {
      build.onResolve({ filter: /^\.\/glue\.js$/ }, () => ({ path, sideEffects: false }));
      build.onLoad({ filter: /[/\\]pkg[/\\]engine\.js$/ }, () => ({ contents: asFactory(text) }));
    },
  };
}
