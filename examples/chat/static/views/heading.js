/** The name of the open conversation, what is known of it, and the way out of it. */

import { find, write } from "./element.js";
import { statusWord } from "./person.js";
import { shortened } from "./sidebar.js";

export class HeadingView {
  #title = find("title", HTMLElement);
  #subtitle = find("subtitle", HTMLElement);
  #elsewhere = find("elsewhere", HTMLElement);
  #elsewhereWords = find("elsewhere-words", HTMLElement);
  #leave = find("leave", HTMLButtonElement);
  /** @type {string | null} */
  #open = null;

  /** @param {(key: string) => void} leave */
  constructor(leave) {
    this.#leave.addEventListener("click", () => {
      if (this.#open !== null) leave(this.#open);
    });
  }

  focus() {
    this.#title.focus();
  }

  /** @param {import("../store.js").State} state */
  render(state) {
    this.#open = state.open;
    const conversation = state.conversations.get(state.open ?? "");
    const name = conversation ? `${conversation.kind === "room" ? "#" : ""}${conversation.name}` : "Chat";
    write(this.#title, name);
    write(this.#subtitle, conversation ? description(conversation, state) : "");
    this.#leave.hidden = !conversation;
    write(this.#leave, conversation?.kind === "room" ? "Leave" : "Close");
    const unread = [...state.conversations.values()].reduce((sum, each) => sum + each.unread, 0);
    const elsewhere = unread - (conversation?.unread ?? 0);
    write(this.#elsewhere, elsewhere ? shortened(elsewhere) : "");
    write(this.#elsewhereWords, elsewhere ? `, ${elsewhere} unread` : "");
    document.title = `${unread ? `(${shortened(unread)}) ` : ""}${name}${conversation ? " · Chat" : ""}`;
  }
}

/**
 * @param {import("../store.js").Conversation} conversation
 * @param {import("../store.js").State} state
 */
function description({ kind, name, joined, count }, { statuses }) {
  if (kind === "private") return statusWord(statuses.get(name));
  if (!joined) return "not joined";
  return count === 1 ? "only you are here" : `${count} members`;
}
