/**
 * The socket: connecting, reconnecting, noticing a dead link, and matching answers to requests by `id` and `ref`.
 *
 * It knows the envelope and the close codes, and nothing of rooms or of the page.
 */

import { systemClock } from "./clock.js";
import { ABNORMAL, INVALID_TOKEN, TOKEN_EXPIRED, advice, backoff, reconnects } from "./reconnect.js";

/** Browsers show no protocol pings, so an idle connection asks with a `ping` message of its own. */
const IDLE = 25_000;
const ANSWER = 10_000;
const NORMAL = 1000;

/**
 * @typedef {{type: string, [member: string]: any}} Frame
 * @typedef {(answer: Frame | null) => void} Settle
 *   Called exactly once, with the final answer, or with null where the connection was lost before one came.
 *
 * @typedef {object} Link
 * @property {"connecting" | "open" | "waiting" | "closed"} phase
 * @property {number | null} retryAt When a waiting connection tries again.
 * @property {number | null} code The code of the last close.
 * @property {number} failures Attempts in a row that ended before the server said anything.
 *
 * @typedef {object} ConnectionOptions
 * @property {string} url
 * @property {string} token Passed as the second subprotocol, which browsers can set and proxies do not log.
 * @property {(frame: Frame) => void} onframe Every frame of the server, in order, before its request is settled.
 * @property {(link: Link) => void} onchange
 * @property {() => boolean} [expired] Whether the token is known to be past its time.
 * @property {new (url: string, protocols: string[]) => WebSocket} [Socket]
 * @property {import("./clock.js").Clock} [clock]
 * @property {() => number} [random]
 */

export class Connection {
  #options;
  #clock;
  #random;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<number, Settle>} */
  #requests = new Map();
  #lastId = 0;
  #lastSeen = 0;
  #probing = false;
  #tokenExpired = false;
  /** The one timer that each phase has: the deadline of the heartbeat, or the next attempt. */
  #cancelTimer = () => {};

  /** @type {Link} */
  link = { phase: "closed", retryAt: null, code: null, failures: 0 };

  /** @param {ConnectionOptions} options */
  constructor(options) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  /** Connects, at once where it waits or is closed; does nothing where it is under way. */
  open() {
    if (this.#socket) return;
    this.#cancelTimer();
    const Socket = this.#options.Socket ?? WebSocket;
    const socket = new Socket(this.#options.url, ["bearer", this.#options.token]);
    this.#socket = socket;
    let opened = false;
    // A socket that was given up may still report; only the current one is heard.
    socket.onopen = () => {
      if (socket !== this.#socket) return;
      opened = true;
      this.#lastSeen = this.#clock.now();
      this.#beat(IDLE);
      this.#change({ phase: "open", retryAt: null });
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lose(event.code, event.reason, opened);
    };
    this.#change({ phase: "connecting", retryAt: null });
  }

  /** Closes for good; what is under way is lost. */
  close() {
    this.#cancelTimer();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(NORMAL);
    this.#settleAll();
    this.#change({ phase: "closed", retryAt: null, code: NORMAL });
  }

  /** The network or the page has come back: does not wait any longer, and asks an open connection for a sign of life. */
  nudge() {
    if (this.link.phase === "waiting") this.open();
    else if (this.link.phase === "open") this.#probe();
  }

  /**
   * Sends `frame` with a fresh `id`. A request on a connection that is not open is lost at once.
   * @param {Frame} frame
   * @param {Settle} settle
   */
  request(frame, settle) {
    if (this.link.phase !== "open") {
      settle(null);
      return;
    }
    const id = ++this.#lastId;
    this.#requests.set(id, settle);
    this.#socket?.send(JSON.stringify({ ...frame, id }));
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#lastSeen = this.#clock.now();
    // A server may accept and close at once to tell its reason, so only a word from it ends a series of failures.
    this.link = { ...this.link, failures: 0 };
    const frame = parse(data);
    if (!frame) return;
    this.#options.onframe(frame);
    const settle = this.#requests.get(frame.ref);
    if (settle) {
      this.#requests.delete(frame.ref);
      settle(frame);
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} opened
   */
  #lose(code, reason, opened) {
    this.#cancelTimer();
    this.#socket = null;
    this.#probing = false;
    if (code === TOKEN_EXPIRED) this.#tokenExpired = true;
    // A refused handshake is an HTTP status, which a page cannot read: with an expired token it was the token.
    const ended = !opened && (this.#tokenExpired || this.#options.expired?.());
    const final = ended ? INVALID_TOKEN : code;
    if (reconnects(final)) {
      const wait = advice(reason) ?? backoff(this.link.failures, this.#random);
      this.#cancelTimer = this.#clock.after(wait, () => this.open());
      this.#change({
        phase: "waiting",
        retryAt: this.#clock.now() + wait,
        code: final,
        failures: this.link.failures + 1,
      });
    } else {
      this.#change({ phase: "closed", retryAt: null, code: final });
    }
    this.#settleAll();
  }

  #settleAll() {
    const lost = [...this.#requests.values()];
    this.#requests.clear();
    for (const settle of lost) settle(null);
  }

  /** @param {number} wait */
  #beat(wait) {
    this.#cancelTimer = this.#clock.after(wait, () => {
      const idle = this.#clock.now() - this.#lastSeen;
      if (idle >= IDLE) this.#probe();
      else this.#beat(IDLE - idle);
    });
  }

  #probe() {
    if (this.#probing) return;
    this.#probing = true;
    this.#cancelTimer();
    this.request({ type: "ping" }, (answer) => {
      if (!answer) return;
      this.#probing = false;
      this.#cancelTimer();
      this.#beat(IDLE);
    });
    this.#cancelTimer = this.#clock.after(ANSWER, () => {
      // The close handshake of a dead link takes minutes; the socket is given up instead.
      const socket = this.#socket;
      this.#lose(ABNORMAL, "", true);
      socket?.close();
    });
  }

  /** @param {Partial<Link>} changes */
  #change(changes) {
    this.link = { ...this.link, ...changes };
    this.#options.onchange(this.link);
  }
}

/**
 * @param {unknown} data
 * @returns {Frame | null} null for what is not a message
 */
function parse(data) {
  try {
    const frame = JSON.parse(String(data));
    return typeof frame?.type === "string" ? frame : null;
  } catch {
    return null;
  }
}
