/** Counts events in a page, which have to come one after the other. */
export function taking() {
  let next;
  const waiting = [];
  return {
    take(events) {
      for (const { n } of events) {
        if (next !== undefined && n !== next) console.error(`event ${n} came where ${next} was to come`);
        next = n + 1;
      }
      const now = performance.timeOrigin + performance.now();
      while (waiting.length > 0 && waiting[0].n < next) waiting.shift().resolve(now);
    },
    /** When, in Unix milliseconds, everything up to an event had come. */
    current: (n) =>
      next > n
        ? Promise.resolve(performance.timeOrigin + performance.now())
        : new Promise((resolve) => waiting.push({ n, resolve })),
  };
}
