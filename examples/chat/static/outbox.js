/**
 * What was written and is not settled: its order, its retries, and when a retry could double a message.
 *
 * Pure functions from a list of entries to the next one; time is an argument. Sending is the client's.
 *
 * One entry per kind of message is under way at a time, so a wait or a lost connection never changes their order.
 *
 * @typedef {"queued" | "sending" | "acknowledged" | "failed" | "unsure"} EntryState
 *   `acknowledged`: stored by the server, its own copy is still to come. `failed`: certainly not delivered.
 *   `unsure`: perhaps delivered, and no longer protected against being delivered twice.
 *
 * @typedef {object} Entry
 * @property {string} key Identifies the entry here, and a room message to the server ("apply me once").
 * @property {string} to The conversation's key.
 * @property {"message" | "private"} lane The type on the wire, each with a rate limit of its own.
 * @property {string} text
 * @property {string} at
 * @property {EntryState} state
 * @property {number | null} sentAt When the present or last attempt was sent.
 * @property {number | null} doubtSince When the first attempt with an unknown outcome was sent.
 * @property {number} attempts Attempts in a row that the server could not carry out.
 * @property {number | null} offset
 * @property {import("./problems.js").Problem | null} problem
 */

/** @type {readonly Entry["lane"][]} */
export const LANES = ["message", "private"];

/** The server remembers a key for 120 s from its application, so a repeat within 100 s of the first attempt is safe. */
const SAFE = 100_000;

/** How many entries the page keeps, and so how much can be written while the server is away. */
export const MOST_UNSENT = 100;

/**
 * @param {Pick<Entry, "key" | "to" | "lane" | "text" | "at">} what
 * @returns {Entry}
 */
export function entry(what) {
  return {
    ...what,
    state: "queued",
    sentAt: null,
    doubtSince: null,
    attempts: 0,
    offset: null,
    problem: null,
  };
}

/**
 * The entry to send next in a lane; null while one is under way or none is ready.
 * @param {readonly Entry[]} outbox
 * @param {Entry["lane"]} lane
 * @param {(to: string) => boolean} ready Whether the conversation takes messages now.
 */
export function next(outbox, lane, ready) {
  const entries = outbox.filter((each) => each.lane === lane);
  if (entries.some((each) => each.state === "sending")) return null;
  return entries.find((each) => each.state === "queued" && ready(each.to)) ?? null;
}

/**
 * @param {readonly Entry[]} outbox
 * @param {string} key
 * @param {(entry: Entry) => Partial<Entry>} changes
 */
export function change(outbox, key, changes) {
  return outbox.map((each) => (each.key === key ? { ...each, ...changes(each) } : each));
}

/**
 * @param {readonly Entry[]} outbox
 * @param {string} key
 */
export function without(outbox, key) {
  return outbox.filter((each) => each.key !== key);
}

/**
 * @param {number} now
 * @returns {Partial<Entry>}
 */
export function sending(now) {
  return { state: "sending", sentAt: now, problem: null };
}

/**
 * The outcome of the attempt is not known: the connection was lost, or the server says so itself.
 * A room message is repeated with its key; a private one has no such protection, so a person decides.
 * @param {Entry} entry
 * @returns {Partial<Entry>}
 */
export function doubted(entry) {
  return {
    state: entry.lane === "message" ? "queued" : "unsure",
    doubtSince: entry.doubtSince ?? entry.sentAt,
    attempts: entry.attempts + 1,
  };
}

/**
 * A person's decision to send again, at the risk of a second copy where the outcome is not known.
 * @returns {Partial<Entry>}
 */
export function retried() {
  return { state: "queued", doubtSince: null, attempts: 0, problem: null };
}

/**
 * Takes what can no longer be repeated safely out of the queue.
 * @param {readonly Entry[]} outbox
 * @param {number} now
 * @returns {readonly Entry[]}
 */
export function expire(outbox, now) {
  /** @param {Entry} entry */
  const stale = ({ state, doubtSince }) =>
    state === "queued" && doubtSince !== null && now - doubtSince >= SAFE;
  return outbox.some(stale)
    ? outbox.map((each) => (stale(each) ? { ...each, state: "unsure" } : each))
    : outbox;
}

/**
 * The entries as a new page finds them: what was under way has an unknown outcome.
 * @param {readonly Entry[]} outbox
 */
export function revive(outbox) {
  return outbox.map((each) => (each.state === "sending" ? { ...each, ...doubted(each) } : each));
}
