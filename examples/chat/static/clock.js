/**
 * Time as an argument: the one interface through which the modules without DOM see it, so that tests can move it.
 *
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds since the epoch.
 * @property {(ms: number, callback: () => void) => () => void} after Calls back once; returns the cancellation.
 */

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
