/**
 * What survives a reload of the page: conversations with their positions, drafts and what is not sent yet.
 *
 * It lives in this tab's storage, belongs to one user, and is bounded. A room's messages and its position are one
 * entry, written together, so that resuming from what is found there leaves no hole.
 */

import { revive } from "./outbox.js";
import { conversation, initial } from "./store.js";

const PREFIX = "chat:archive:";
const INDEX = `${PREFIX}index`;
const OUTBOX = `${PREFIX}outbox`;

/** Characters of text kept for each conversation; 100 conversations fit what browsers allow a page. */
const MOST_TEXT = 20_000;

export class Archive {
  #storage;
  /** @type {import("./store.js").State | null} What was saved last; states are immutable, so identity tells a change. */
  #saved = null;

  /** @param {Storage} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /**
   * The state that `user` left in this tab; null where there is none. What another user left is deleted.
   * @param {string} user
   * @returns {import("./store.js").State | null}
   */
  load(user) {
    const index = this.#read(INDEX);
    if (index?.me !== user) {
      this.clear();
      return null;
    }
    const found = index.keys.map((/** @type {string} */ key) => this.#read(PREFIX + key)).filter(Boolean);
    const conversations = new Map(
      found.map((/** @type {import("./store.js").Conversation} */ each) => [
        each.key,
        { ...conversation(each.kind, each.name), ...each },
      ]),
    );
    const open = conversations.has(index.open) ? index.open : (conversations.keys().next().value ?? null);
    return {
      ...initial(user),
      status: index.status,
      open,
      conversations,
      outbox: revive(this.#read(OUTBOX) ?? []),
    };
  }

  /**
   * Writes what changed since the last call. A full storage keeps an older state, from which resuming is as safe.
   * @param {import("./store.js").State} state
   */
  save(state) {
    const saved = this.#saved;
    for (const key of saved?.conversations.keys() ?? []) {
      if (!state.conversations.has(key)) this.#storage.removeItem(PREFIX + key);
    }
    for (const [key, each] of state.conversations) {
      if (saved?.conversations.get(key) !== each) this.#write(PREFIX + key, excerpt(each));
    }
    if (saved?.outbox !== state.outbox) this.#write(OUTBOX, state.outbox);
    const { me, open, status } = state;
    this.#write(INDEX, { me, open, status, keys: [...state.conversations.keys()] });
    this.#saved = state;
  }

  clear() {
    for (const key of Object.keys(this.#storage)) {
      if (key.startsWith(PREFIX)) this.#storage.removeItem(key);
    }
    this.#saved = null;
  }

  /** @param {string} key */
  #read(key) {
    return JSON.parse(this.#storage.getItem(key) ?? "null");
  }

  /**
   * @param {string} key
   * @param {unknown} value
   */
  #write(key, value) {
    try {
      this.#storage.setItem(key, JSON.stringify(value));
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "QuotaExceededError")) throw error;
    }
  }
}

/**
 * The part of a conversation that is kept: its newest messages, and nothing that only a connection knows.
 * @param {import("./store.js").Conversation} whole
 */
function excerpt({ key, kind, name, items, serial, unread, marker, draft, position }) {
  let room = MOST_TEXT;
  const first = items.findLastIndex((item) => (room -= item.kind === "message" ? item.text.length : 0) < 0);
  return { key, kind, name, items: items.slice(first + 1), serial, unread, marker, draft, position };
}
