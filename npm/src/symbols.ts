/** The symbols of explicit resource management, or stand-ins where the runtime does not have them yet. */
export const dispose: typeof Symbol.dispose = Symbol.dispose ?? (Symbol() as typeof Symbol.dispose);
export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol() as typeof Symbol.asyncDispose);
