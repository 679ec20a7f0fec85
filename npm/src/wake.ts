/**
 * Calls back whenever the browser hints that the network may be back or that the page was asleep: both go
 * unnoticed by timers, which are slowed in hidden tabs and stand still in a suspended device.
 */
export function wakeOn(callback: () => void, end: AbortSignal): void {
  const options = { signal: end };
  addEventListener("online", callback, options);
  addEventListener("pageshow", callback, options);
  if (typeof document !== "undefined") {
    const visible = () => document.visibilityState === "visible" && callback();
    document.addEventListener("visibilitychange", visible, options);
  }
}
