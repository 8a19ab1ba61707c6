/**
 * What a person can do in the chat, carried out over a connection: join, say, leave, change status.
 *
 * It holds the present state, turns answers into the next one, returns to the rooms after a reconnect, and sends what
 * the outbox holds. No DOM lives here; what a frame means to the state is the store's.
 */

import { systemClock } from "./clock.js";
import { Connection } from "./connection.js";
import * as outbox from "./outbox.js";
import { sentence } from "./problems.js";
import { INVALID_TOKEN, backoff } from "./reconnect.js";
import * as store from "./store.js";

const DEFAULT_ROOM = "general";

/** Longer waits are what a server that errs would ask for. */
const MOST_WAIT = 60_000;

/** Messages to go back for where a room could not be resumed: fewer than are replayed, for some are said meanwhile. */
const MOST_RETRACED = 250;

/** Errors after which the same request may succeed, with the outcome of this one unknown. */
const UNKNOWN_OUTCOME = new Set(["unavailable", "timeout"]);

/**
 * @typedef {import("./connection.js").Frame} Frame
 * @typedef {import("./store.js").State} State
 *
 * @typedef {object} ClientOptions
 * @property {import("./session.js").Session} session
 * @property {string} url Of the socket.
 * @property {State | null} state Where an earlier page was; null begins in the default room.
 * @property {() => void} onchange After any change of `state`, `link`, `waits` or `notice`.
 * @property {() => void} onended When the session is over: only a new login helps.
 * @property {new (url: string, protocols: string[]) => WebSocket} [Socket]
 * @property {import("./clock.js").Clock} [clock]
 * @property {() => number} [random]
 * @property {() => string} [newKey]
 */

export class Client {
  #options;
  #clock;
  #random;
  #connection;

  /** @type {State} */
  state;
  /**
   * Until when each type of message must wait, in milliseconds since the epoch; null where it need not.
   * @type {Record<import("./outbox.js").Entry["lane"], number | null>}
   */
  waits = { message: null, private: null };
  /** @type {string | null} An error that belongs to no message and no room. */
  notice = null;

  /** How many rooms are being entered. */
  #entering = 0;

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    const { session, url, Socket } = options;
    this.state = options.state ?? begin(session.user);
    this.#connection = new Connection({
      url,
      token: session.token,
      Socket,
      clock: this.#clock,
      random: this.#random,
      expired: () => session.expiresAt !== null && session.expiresAt <= this.#clock.now(),
      onframe: (frame) => this.#receive(frame),
      onchange: (link) => this.#follow(link),
    });
  }

  get link() {
    return this.#connection.link;
  }

  get now() {
    return this.#clock.now();
  }

  /** Connects, now where it waits to. */
  connect() {
    this.#connection.open();
  }

  /** Ends the connection for good. */
  close() {
    this.#connection.close();
  }

  /** The network or the page has come back. */
  nudge() {
    this.#connection.nudge();
  }

  /** @param {string} key */
  open(key) {
    this.#set(store.open(this.state, key));
  }

  /** @param {boolean} reading */
  read(reading) {
    this.#set(store.read(this.state, reading));
  }

  /** @param {string} text */
  draft(text) {
    if (this.state.open !== null) this.#set(store.update(this.state, this.state.open, { draft: text }));
  }

  /** @param {string} user */
  converse(user) {
    this.#set(store.open(store.withPerson(this.state, user), store.personKey(user)));
  }

  /**
   * Joins a room and opens it.
   * @param {string} room
   * @returns {Promise<string | null>} why it failed, in words
   */
  join(room) {
    const key = store.roomKey(room);
    if (this.state.conversations.has(key)) {
      this.open(key);
      return Promise.resolve(null);
    }
    return new Promise((resolve) => {
      this.#connection.request({ type: "join", room }, (answer) => {
        if (answer?.type === "joined") this.open(key);
        resolve(failure(answer));
      });
    });
  }

  /**
   * Leaves a room, or closes a private conversation, with all that was written for it.
   * @param {string} key
   */
  leave(key) {
    const known = this.state.conversations.get(key);
    if (!known?.joined) {
      this.#set(store.remove(this.state, key));
      return;
    }
    this.#connection.request({ type: "leave", room: known.name }, (answer) => {
      const gone = !answer || answer.type === "ack" || answer.code === "not_a_member";
      if (gone) this.#set(store.remove(this.state, key));
      else this.#note(answer);
    });
  }

  /**
   * Writes to the open conversation. It goes out as soon as connection, room and rate limit allow.
   * @param {string} text
   */
  say(text) {
    const to = this.state.conversations.get(this.state.open ?? "");
    if (!to) return;
    const added = outbox.entry({
      key: (this.#options.newKey ?? (() => crypto.randomUUID()))(),
      to: to.key,
      lane: to.kind === "room" ? "message" : "private",
      text,
      at: new Date(this.now).toISOString(),
    });
    const state = store.update(this.state, to.key, { draft: "", marker: null });
    this.#set({ ...state, outbox: [...state.outbox, added] });
    this.#pump();
  }

  /**
   * Sends again what failed or may have failed.
   * @param {string} key
   */
  retry(key) {
    this.#settle(key, outbox.retried);
    this.#pump();
  }

  /** @param {string} key */
  discard(key) {
    this.#set({ ...this.state, outbox: outbox.without(this.state.outbox, key) });
  }

  /**
   * Tries again to enter the room of a conversation that could not be entered.
   * @param {string} key
   */
  enter(key) {
    this.#enter(key, false);
  }

  /** @param {import("./store.js").Status} status */
  setStatus(status) {
    const last = this.state.status;
    this.#set({ ...this.state, status });
    this.#connection.request({ type: "status", status }, (answer) => {
      if (answer?.type === "ack")
        this.#set(store.receive(this.state, { type: "status", user: this.state.me, status }));
      if (answer?.type !== "error") return;
      this.#set({ ...this.state, status: last });
      this.#note(answer);
    });
  }

  dismiss() {
    this.notice = null;
    this.#options.onchange();
  }

  /** @param {State} state */
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#options.onchange();
  }

  /** @param {Frame} error */
  #note(error) {
    this.notice = sentence(problem(error));
    this.#options.onchange();
  }

  /** @param {import("./connection.js").Link} link */
  #follow(link) {
    if (link.phase === "open") this.#resume();
    else if (link.phase === "waiting" || link.phase === "closed") this.#set(store.disconnected(this.state));
    this.#options.onchange();
    if (link.phase === "closed" && link.code === INVALID_TOKEN) this.#options.onended();
  }

  /** Returns to every room from its position, then to the status. */
  #resume() {
    for (const { key, kind, joined } of this.state.conversations.values()) {
      if (kind === "room" && !joined) this.enter(key);
    }
    if (this.#entering === 0) this.#restoreStatus();
    this.#pump();
  }

  /** The last connection took the status with it. The others believe who enters a room to be online, so it comes last. */
  #restoreStatus() {
    const { status } = this.state;
    if (this.link.phase === "open" && status !== null && status !== "online") this.setStatus(status);
  }

  /**
   * @param {string} key
   * @param {boolean} retracing Whether the position is one to go back to, and not what was seen.
   */
  #enter(key, retracing) {
    const room = this.state.conversations.get(key);
    if (!room) return;
    this.#set(store.update(this.state, key, { problem: null }));
    const { name, position } = room;
    this.#entering++;
    this.#connection.request({ type: "join", room: name, ...(position && { since: position }) }, (answer) => {
      if (answer?.type === "error") this.#barred(key, answer);
      else if (answer && position && !retracing) this.#retrace(key, position, answer);
      if (--this.#entering === 0) this.#restoreStatus();
    });
  }

  /**
   * @param {string} key
   * @param {Frame} error
   */
  #barred(key, error) {
    const wait = this.#wait(error, 0);
    if (wait === null) this.#set(store.update(this.state, key, { problem: sentence(problem(error)) }));
    else this.#clock.after(wait, () => this.#reenter(key));
  }

  /**
   * Where a room could not be resumed, as after a restart of the server, fetches what it has of the time before the
   * return: by leaving, for it replays nothing to who is there, and entering again further back.
   * @param {string} key
   * @param {import("./store.js").Position} last
   * @param {Frame} joined
   */
  #retrace(key, last, { room, recovered, offset, epoch }) {
    const from = Math.max(offset - MOST_RETRACED, epoch === last.epoch ? last.offset : 0);
    if (recovered || from >= offset) return;
    this.#connection.request({ type: "leave", room }, () => {});
    this.#set(store.update(this.state, key, { joined: false, position: { offset: from, epoch } }));
    this.#enter(key, true);
  }

  /** @param {string} key */
  #reenter(key) {
    if (this.link.phase === "open" && this.state.conversations.get(key)?.joined === false) this.enter(key);
  }

  /** @param {Frame} frame */
  #receive(frame) {
    this.#set(store.receive(this.state, frame));
    if (frame.type === "joined") this.#pump();
    else if (frame.type === "error" && frame.ref === undefined) this.#note(frame);
  }

  /** Sends what may be sent now. It may be called at any time, and too often. */
  #pump() {
    if (this.link.phase !== "open") return;
    const entries = outbox.expire(this.state.outbox, this.now);
    if (entries !== this.state.outbox) this.#set({ ...this.state, outbox: entries });
    for (const lane of outbox.LANES) {
      if (this.waits[lane] !== null) continue;
      const entry = outbox.next(this.state.outbox, lane, (to) => lane === "private" || this.#joined(to));
      if (entry) this.#send(entry);
    }
  }

  /** @param {string} key */
  #joined(key) {
    return this.state.conversations.get(key)?.joined === true;
  }

  /** @param {import("./outbox.js").Entry} entry */
  #send(entry) {
    this.#settle(entry.key, () => outbox.sending(this.now));
    const name = entry.to.slice(1);
    const frame =
      entry.lane === "message"
        ? { type: "message", room: name, text: entry.text, key: entry.key }
        : { type: "private", to: name, text: entry.text };
    this.#connection.request(frame, (answer) => {
      if (!answer) this.#settle(entry.key, outbox.doubted);
      else if (answer.type === "error") this.#refused(entry, answer);
      else this.#accepted(entry, answer.offset);
      this.#pump();
    });
  }

  /**
   * @param {import("./outbox.js").Entry} entry
   * @param {number | undefined} offset
   */
  #accepted({ key, to, lane, text }, offset) {
    if (lane === "private") {
      const at = new Date(this.now).toISOString();
      const state = store.append(this.state, to, { user: this.state.me, text, at, id: key });
      this.#set({ ...state, outbox: outbox.without(state.outbox, key) });
    } else if (offset === undefined || store.seen(this.state, to, offset)) {
      this.discard(key);
    } else {
      this.#settle(key, () => ({ state: "acknowledged", offset }));
    }
  }

  /**
   * @param {import("./outbox.js").Entry} entry
   * @param {Frame} error
   */
  #refused({ key, lane, attempts }, error) {
    const unknown = UNKNOWN_OUTCOME.has(error.code);
    const wait = this.#wait(error, attempts);
    if (wait === null) this.#settle(key, () => ({ state: "failed", problem: problem(error) }));
    else if (unknown) this.#settle(key, outbox.doubted);
    else this.#settle(key, () => ({ state: "queued" }));
    if (wait === null || (unknown && lane === "private")) return;
    this.#hold(lane, this.now + wait);
    // The timer ends the wait and not the clock, by which it may come a moment early.
    this.#clock.after(wait, () => {
      this.#hold(lane, null);
      this.#pump();
    });
  }

  /**
   * @param {import("./outbox.js").Entry["lane"]} lane
   * @param {number | null} until
   */
  #hold(lane, until) {
    this.waits = { ...this.waits, [lane]: until };
    this.#options.onchange();
  }

  /**
   * How long to wait before the same request may succeed; null where it will not.
   * @param {Frame} error
   * @param {number} attempts
   * @returns {number | null}
   */
  #wait({ code, retry_after: seconds }, attempts) {
    if (code === "rate_limited") return Math.min((seconds ?? 1) * 1000, MOST_WAIT);
    return UNKNOWN_OUTCOME.has(code) ? backoff(attempts, this.#random) : null;
  }

  /**
   * @param {string} key
   * @param {(entry: import("./outbox.js").Entry) => Partial<import("./outbox.js").Entry>} changes
   */
  #settle(key, changes) {
    this.#set({ ...this.state, outbox: outbox.change(this.state.outbox, key, changes) });
  }
}

/**
 * @param {string} me
 * @returns {State}
 */
function begin(me) {
  const room = store.conversation("room", DEFAULT_ROOM);
  return { ...store.initial(me), conversations: new Map([[room.key, room]]), open: room.key };
}

/**
 * @param {Frame} error
 * @returns {import("./problems.js").Problem}
 */
const problem = ({ code, detail }) => ({ code, detail });

/**
 * @param {Frame | null} answer
 * @returns {string | null}
 */
function failure(answer) {
  if (answer === null) return "The connection was lost. Try again when it is back.";
  return answer.type === "error" ? sentence(problem(answer)) : null;
}
