/** The messages of the open conversation, and where in them the eye is. */

import { sentence } from "../problems.js";
import { timeline } from "../timeline.js";
import { List, element, find, write } from "./element.js";
import { avatar } from "./person.js";
import { shortened } from "./sidebar.js";

/** How near to its end, in pixels, the log counts as being at its end. */
const NEAR = 48;

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/**
 * @typedef {import("../timeline.js").Row} Row
 * @typedef {import("../timeline.js").MessageRow} MessageRow
 *
 * @typedef {object} LogActions
 * @property {(key: string) => void} retry
 * @property {(key: string) => void} discard
 * @property {() => void} look After the person scrolled.
 */

export class LogView {
  #log = find("log", HTMLElement);
  #empty = find("empty", HTMLElement);
  #latest = find("latest", HTMLButtonElement);
  #messages = find("messages", HTMLOListElement);
  #actions;
  /** @type {List<Row, HTMLElement>} */
  #list;
  /** @type {string | null} */
  #open = null;
  #following = true;

  /** @param {LogActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#list = this.#newList();
    this.#log.addEventListener("scroll", () => {
      this.#following = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR;
      actions.look();
    });
    this.#latest.addEventListener("click", () => {
      this.toEnd();
      this.#log.focus();
    });
    new ResizeObserver(() => this.#follow()).observe(this.#log);
  }

  /** Whether the newest message is on the screen. */
  get atEnd() {
    return this.#following;
  }

  /** @param {import("../client.js").Client} client */
  render({ state, link }) {
    const conversation = state.conversations.get(state.open ?? "");
    const rows = conversation ? timeline(conversation, state.outbox, state.me) : [];
    if (state.open === this.#open) {
      this.#list.render(rows);
      this.#follow();
    } else {
      this.#enter(state.open, rows);
    }
    write(this.#empty, rows.length ? "" : emptiness(conversation, link));
    const unread = conversation?.unread ?? 0;
    this.#latest.hidden = this.#following;
    write(this.#latest, unread ? `${shortened(unread)} new ↓` : "Latest ↓");
  }

  /** Goes to the end, as one does who has just written. */
  toEnd() {
    this.#following = true;
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #follow() {
    if (this.#following) this.toEnd();
  }

  /**
   * Shows another conversation, from what is new in it or from its end. It is not news to be read aloud.
   * @param {string | null} open
   * @param {readonly Row[]} rows
   */
  #enter(open, rows) {
    this.#open = open;
    this.#log.ariaBusy = "true";
    this.#messages.replaceChildren();
    this.#list = this.#newList();
    this.#list.render(rows);
    const marker = this.#messages.querySelector(".marker");
    this.toEnd();
    if (marker instanceof HTMLElement && marker.offsetTop < this.#log.scrollTop) {
      this.#log.scrollTop = marker.offsetTop - NEAR;
      this.#following = false;
    }
    requestAnimationFrame(() => {
      this.#log.ariaBusy = "false";
    });
  }

  #newList() {
    return new List(this.#messages, create, (/** @type {HTMLElement} */ item, /** @type {Row} */ row) => {
      if (row.kind === "message") this.#paint(item, row);
    });
  }

  /**
   * @param {HTMLElement} item
   * @param {MessageRow} row
   */
  #paint(item, { id, mine, first, delivery, problem, text, at, user }) {
    item.className = ["message", mine && "mine", first && "first", delivery].filter(Boolean).join(" ");
    write(/** @type {HTMLElement} */ (item.querySelector(".text")), text);
    const time = /** @type {HTMLTimeElement} */ (item.querySelector("time"));
    if (time.dateTime !== at) stamp(time, at);
    /** @type {HTMLElement} */ (item.querySelector(".meta")).classList.toggle("visually-hidden", !first);
    const picture = item.querySelector(".avatar");
    if (first && !mine && !picture) item.prepend(avatar(user));
    else if (!first) picture?.remove();
    const fate = /** @type {HTMLElement} */ (item.querySelector(".fate"));
    fate.replaceChildren(...this.#fate(id, delivery, problem));
  }

  /**
   * What has become of a message that is not delivered, and what its author can do.
   * @param {string} id
   * @param {import("../outbox.js").EntryState | null} delivery
   * @param {import("../problems.js").Problem | null} problem
   */
  #fate(id, delivery, problem) {
    switch (delivery) {
      case "queued":
        return ["Waiting to be sent"];
      case "sending":
        return ["Sending"];
      case "failed":
        return [problem ? sentence(problem) : "Not delivered.", ...this.#choices(id, "Try again")];
      case "unsure":
        return [
          "The connection was lost before an answer came. It may have arrived.",
          ...this.#choices(id, "Send again"),
        ];
      default:
        return [];
    }
  }

  /**
   * @param {string} id
   * @param {string} again
   */
  #choices(id, again) {
    const { retry, discard } = this.#actions;
    return [
      element("button", { type: "button", onclick: () => retry(id) }, again),
      element("button", { type: "button", onclick: () => discard(id) }, "Discard"),
    ];
  }
}

/**
 * @param {Row} row
 * @returns {HTMLElement}
 */
function create(row) {
  switch (row.kind) {
    case "day":
      return element(
        "li",
        { className: "line day" },
        element("span", {}, dayName(new Date(row.at), new Date())),
      );
    case "gap":
      return element(
        "li",
        { className: "line gap" },
        element("span", {}, "Some messages may be missing here"),
      );
    case "marker":
      return element("li", { className: "line marker" }, element("span", {}, "New messages"));
    case "message":
      return element(
        "li",
        {},
        element(
          "div",
          { className: "body" },
          element(
            "p",
            { className: "meta" },
            element("strong", {}, row.mine ? "You" : row.user),
            " ",
            element("time"),
          ),
          element("p", { className: "text", dir: "auto" }),
          element("p", { className: "fate" }),
        ),
      );
  }
}

/**
 * @param {HTMLTimeElement} time
 * @param {string} at
 */
function stamp(time, at) {
  const moment = new Date(at);
  time.dateTime = at;
  time.textContent = TIME.format(moment);
  time.title = MOMENT.format(moment);
}

/**
 * @param {Date} day
 * @param {Date} now
 */
function dayName(day, now) {
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  if (day.toDateString() === now.toDateString()) return "Today";
  if (day.toDateString() === yesterday.toDateString()) return "Yesterday";
  return DAY.format(day);
}

/**
 * @param {import("../store.js").Conversation | undefined} conversation
 * @param {import("../connection.js").Link} link
 */
function emptiness(conversation, link) {
  if (!conversation) return "Join a room, or write to someone, to begin.";
  if (conversation.kind === "private") {
    return `Say hello to ${conversation.name}. Private messages are not kept: they reach people while they are connected.`;
  }
  if (conversation.joined) return "Nothing has been said since you came. Say hello!";
  // What is wrong, and what can be done, is in the banner.
  return link.phase === "open" && !conversation.problem
    ? "Joining the room…"
    : "You are not in this room now.";
}
