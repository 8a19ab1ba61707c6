/** What is wrong with the connection or the room, how long it takes, and what a person can do; errors of no other place. */

import { INVALID_TOKEN, explain } from "../reconnect.js";
import { countdown } from "./countdown.js";
import { find, write } from "./element.js";

/** After this many failures in a row the reason may be a session that the server no longer accepts. */
const PATIENCE = 3;

/** @type {Record<import("../connection.js").Link["phase"], string>} */
const WORDS = {
  connecting: "Connecting",
  open: "Connected",
  waiting: "Reconnecting",
  closed: "Disconnected",
};

/**
 * @typedef {object} BannerActions
 * @property {() => void} connect
 * @property {(key: string) => void} enter
 * @property {() => void} relogin
 * @property {() => void} dismiss
 * @property {() => void} focus Takes the focus of a button that goes away.
 */

export class BannerView {
  #indicator = find("indicator", HTMLElement);
  #banner = find("banner", HTMLElement);
  #text = find("banner-text", HTMLElement);
  #countdown = find("banner-countdown", HTMLElement);
  #action = find("banner-action", HTMLButtonElement);
  #login = find("banner-login", HTMLButtonElement);
  #notice = find("notice", HTMLElement);
  #noticeText = find("notice-text", HTMLElement);
  #actions;
  /** @type {() => void} */
  #act = () => {};

  /** @param {BannerActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#action.addEventListener("click", () => this.#act());
    this.#login.addEventListener("click", actions.relogin);
    find("notice-dismiss", HTMLButtonElement).addEventListener("click", actions.dismiss);
  }

  /** @param {import("../client.js").Client} client */
  render({ state, link, notice, now }) {
    write(this.#indicator, WORDS[link.phase]);
    this.#indicator.dataset.phase = link.phase;
    const trouble = this.#trouble(link, state.conversations.get(state.open ?? ""));
    this.#show(this.#banner, trouble !== null);
    write(this.#text, trouble?.text ?? "");
    write(this.#countdown, link.retryAt === null ? "" : countdown(link.retryAt - now));
    write(this.#action, trouble?.action ?? "");
    this.#act = trouble?.act ?? this.#act;
    this.#login.hidden = link.phase === "open" || link.failures < PATIENCE;
    write(this.#noticeText, notice ?? "");
    this.#show(this.#notice, notice !== null);
  }

  /**
   * @param {import("../connection.js").Link} link
   * @param {import("../store.js").Conversation | undefined} conversation
   */
  #trouble({ phase, failures, code }, conversation) {
    const { connect, enter } = this.#actions;
    if (phase === "waiting" || (phase === "connecting" && failures > 0)) {
      return { text: "The connection is lost. Trying again", action: "Try now", act: connect };
    }
    if (phase === "closed" && code !== null && code !== INVALID_TOKEN) {
      return { text: explain(code), action: "Connect again", act: connect };
    }
    if (conversation?.problem) {
      return { text: conversation.problem, action: "Try again", act: () => enter(conversation.key) };
    }
    return null;
  }

  /**
   * @param {HTMLElement} part
   * @param {boolean} shown
   */
  #show(part, shown) {
    if (!shown && part.contains(document.activeElement)) this.#actions.focus();
    part.hidden = !shown;
  }
}
