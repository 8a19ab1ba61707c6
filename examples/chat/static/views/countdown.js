/** Seconds that pass. They stand outside of live regions: nobody wants each of them read aloud. */

/** @param {number} ms */
export function countdown(ms) {
  return `in ${Math.max(1, Math.ceil(ms / 1000))} s`;
}
