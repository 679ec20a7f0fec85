import { GLOBALS, type Page } from "./browser.js";
import type * as exported from "./page.js";

/** What `page.ts` exports. */
type Exports = typeof exported;
type Script = (...globals: unknown[]) => Exports;

/** What pages load: the package, bundled, and the engine's module. */
export class Program {
  readonly module: WebAssembly.Module;
  readonly #evaluate: Script;

  constructor(module: WebAssembly.Module, script: string) {
    this.module = module;
    this.#evaluate = new Function(...GLOBALS, `${script}\nreturn page;`) as Script;
  }

  /** Evaluates it for a page, with globals of its own. */
  load(page: Page): Exports {
    return this.#evaluate(...GLOBALS.map((name) => page.globals[name]));
  }
}
