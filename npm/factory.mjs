/**
 * Makes a function of the glue that wasm-bindgen writes as a module. A module is evaluated once a page, so its
 * instance could never be replaced; each call of the function makes one of its own.
 *
 * The function takes the compiled module; `guard`, through which the glue then sees the instance's exports; `hold`,
 * which the Rust side calls with what it opens, and `notice`, which it calls with what it cannot tell as an event
 * (`sdk-wasm/src/held.rs`); and `commit`, which it calls with transactions that write. It gives the classes.
 *
 * @param {string} glue JavaScript
 * @returns {string} JavaScript
 */
export function asFactory(glue) {
  const body = EDITS.reduce((text, [what, by]) => {
    if (text.search(what) < 0) {
      throw new Error(`the glue does not look as wasm-bindgen writes it: there is no ${what}`);
    }
    return text.replace(what, by);
  }, glue);
  return `export function instantiate(module, guard, hold, notice, commit) {\n${body}\ninitSync({ module });\nreturn { Engine };\n}\n`;
}

/** What is taken out are the ways to load a module, which `src/compile.ts` knows better. */
const EDITS = /** @type {const} */ ([
  [/^export class /gm, "class "],
  [/^async function __wbg_load\([^]*?^}$/m, ""],
  [/^let __wbg_init_promise;[^]*$/m, ""],
  [/^let wasmModule, wasmInstance, wasm;$/m, "let wasm;"],
  [/^ *wasmInstance = instance;$/m, ""],
  [/^ *wasmModule = module;$/m, ""],
  // Character by character is for short texts; here a whole replica may come in one. Most of what is stored is ASCII,
  // and goes in at once; other text takes more bytes than it has characters, how many is known when it is encoded.
  [
    /if \(realloc === undefined\) \{/,
    `if (realloc !== undefined && arg.length > 200) {
        const ptr = malloc(arg.length, 1) >>> 0;
        const room = getUint8ArrayMemory0().subarray(ptr, ptr + arg.length);
        if (cachedTextEncoder.encodeInto(arg, room).read === arg.length) {
            WASM_VECTOR_LEN = arg.length;
            return ptr;
        }
        const buf = cachedTextEncoder.encode(arg);
        const moved = realloc(ptr, arg.length, buf.length, 1) >>> 0;
        getUint8ArrayMemory0().subarray(moved, moved + buf.length).set(buf);
        WASM_VECTOR_LEN = buf.length;
        return moved;
    }
    if (realloc === undefined) {`,
  ],
  [/wasm = instance\.exports;/, "wasm = guard(instance.exports);"],
]);
