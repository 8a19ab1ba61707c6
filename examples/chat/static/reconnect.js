/**
 * The reconnect policy: what a close code means, and how long to wait before the next attempt.
 *
 * The codes are Centrifugo's, so the number alone decides. No socket and no timer lives here;
 * randomness is an argument.
 */

const BASE = 1_000;
const CAP = 20_000;
const MOST_ADVICE = 60_000;

export const TOKEN_EXPIRED = 3005;
export const INVALID_TOKEN = 3500;
export const ABNORMAL = 1006;

const EXPLANATIONS = new Map([
  [3500, "Your session has ended. Log in again."],
  [3501, "The server did not accept the request of this page. Reload it."],
  [3504, "You have too many connections open. Close another window, then try again."],
  [3507, "You are not allowed to connect."],
  [3509, "The server closed the connection after too many errors."],
]);

/**
 * Whether a client that follows the codes connects again after a close with `code`.
 * @param {number} code
 */
export function reconnects(code) {
  return (
    code === 1001 ||
    code === ABNORMAL ||
    code === 1012 ||
    (code >= 3000 && code < 3500) ||
    (code >= 4000 && code < 4500)
  );
}

/**
 * Milliseconds to wait before attempt number `attempt` (from 0): exponential with full jitter, so that the clients
 * of a server that restarts do not return all at once.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 * @param {number} attempt
 * @param {() => number} random
 */
export function backoff(attempt, random) {
  return random() * Math.min(CAP, BASE * 2 ** attempt);
}

/**
 * The wait in milliseconds that a closing server asked for in its close reason, `{"reconnect_after": 1.37}`;
 * null without one. It is jittered already.
 * @param {string} reason
 */
export function advice(reason) {
  try {
    const seconds = JSON.parse(reason)?.reconnect_after;
    return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, MOST_ADVICE) : null;
  } catch {
    return null;
  }
}

/**
 * Why the page does not reconnect after `code`, in words for the person before it.
 * @param {number} code
 */
export function explain(code) {
  return EXPLANATIONS.get(code) ?? `The server closed the connection (code ${code}).`;
}
