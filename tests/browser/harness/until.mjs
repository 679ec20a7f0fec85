/** How long anything that should happen may take; generous, as machines that run tests are busy. */
export const PATIENCE = 20_000;

/** Resolves with the first truthy result of `look`; after `patience`, fails and shows what was seen last. */
export async function until(what, look, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    let seen;
    try {
      seen = await look();
      if (seen) return seen;
    } catch (error) {
      seen = error;
    }
    if (Date.now() > end)
      throw new Error(`waited in vain until ${what}; last seen: ${seen}`, { cause: seen });
    await sleep(50);
  }
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
