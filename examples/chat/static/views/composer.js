/** Where a message is written. */

import { MOST_UNSENT } from "../outbox.js";
import { countdown } from "./countdown.js";
import { find, write } from "./element.js";

const MOST_CHARACTERS = 4096;

/** How many characters are left when the page begins to count them aloud. */
const NEARLY_FULL = 200;

/**
 * @typedef {object} ComposerActions
 * @property {(text: string) => void} say
 * @property {(text: string) => void} draft
 */

export class ComposerView {
  #form = find("composer", HTMLFormElement);
  #label = find("composer-label", HTMLElement);
  #text = find("text", HTMLTextAreaElement);
  #note = find("composer-note", HTMLElement);
  #countdown = find("composer-countdown", HTMLElement);
  /** @type {string | null} */
  #open = null;
  #unsent = 0;

  /** @param {ComposerActions} actions */
  constructor(actions) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (!text || excess(text) > 0 || this.#unsent >= MOST_UNSENT) return;
      this.#text.value = "";
      this.#grow();
      actions.say(text.toWellFormed());
    });
    this.#text.addEventListener("input", () => {
      this.#grow();
      actions.draft(this.#text.value);
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
  }

  focus() {
    this.#text.focus();
  }

  /** @param {import("../client.js").Client} client */
  render({ state, link, waits, now }) {
    const conversation = state.conversations.get(state.open ?? "");
    this.#form.hidden = !conversation;
    if (!conversation) return;
    if (state.open !== this.#open) {
      this.#open = state.open;
      this.#text.value = conversation.draft;
      this.#grow();
      const to = conversation.kind === "room" ? `#${conversation.name}` : conversation.name;
      write(this.#label, `Message to ${to}`);
      this.#text.placeholder = `Message ${to}`;
    }
    this.#unsent = state.outbox.length;
    const until = waits[conversation.kind === "room" ? "message" : "private"];
    const waiting =
      until === null
        ? undefined
        : state.outbox.find(({ to, state }) => to === conversation.key && state === "queued");
    const note = this.#remark(conversation, link, waiting);
    write(this.#note, note.text);
    this.#note.className = note.tone;
    write(this.#countdown, waiting && until !== null ? countdown(until - now) : "");
    this.#text.ariaInvalid = excess(conversation.draft.trim()) > 0 ? "true" : null;
  }

  /**
   * The one thing that the author should know now.
   * @param {import("../store.js").Conversation} conversation
   * @param {import("../connection.js").Link} link
   * @param {import("../outbox.js").Entry} [waiting] The message that is held back.
   */
  #remark({ draft }, link, waiting) {
    const over = excess(draft.trim());
    if (over > 0)
      return { tone: "bad", text: `Too long by ${over} ${over === 1 ? "character" : "characters"}.` };
    if (this.#unsent >= MOST_UNSENT) return { tone: "bad", text: "Too many messages wait to be sent." };
    if (waiting) {
      const why = waiting.attempts ? "The server is busy." : "You are sending too fast.";
      return { tone: "slow", text: `${why} The next message goes out` };
    }
    if (link.phase !== "open") return { tone: "", text: "Messages are sent when the connection is back." };
    if (over > -NEARLY_FULL) return { tone: "", text: `${-over} characters left.` };
    return { tone: "keys", text: "Enter sends, Shift+Enter starts a new line" };
  }

  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}

/**
 * By how many characters `text` is too long, as the server counts them: code points. Negative where it is not.
 * @param {string} text
 */
function excess(text) {
  return [...text].length - MOST_CHARACTERS;
}
