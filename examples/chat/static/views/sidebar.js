/** The list of conversations, the forms that add to it, and oneself. */

import { ROOM_NAME, STATUSES } from "../store.js";
import { List, element, find, write } from "./element.js";
import { avatar, dot, paintAvatar, statusWord } from "./person.js";

/**
 * @typedef {{id: string, name: string, kind: string, unread: number, current: boolean, status: string, asleep: boolean}} EntryRow
 *
 * @typedef {object} SidebarActions
 * @property {(key: string) => void} open
 * @property {(room: string) => Promise<string | null>} join
 * @property {(user: string) => void} converse
 * @property {(status: import("../store.js").Status) => void} setStatus
 * @property {() => void} logout
 */

export class SidebarView {
  #rooms;
  #people;
  #me = find("me", HTMLElement);
  #avatar = find("me-avatar", HTMLElement);
  #status = find("status", HTMLSelectElement);

  /** @param {SidebarActions} actions */
  constructor(actions) {
    /** @param {EntryRow} row */
    const create = (row) => entry(row, () => actions.open(row.id));
    this.#rooms = new List(find("rooms", HTMLUListElement), create, paint);
    this.#people = new List(find("people", HTMLUListElement), create, paint);
    new Adder("room", async (name) => {
      const room = name.replace(/^#/, "").toLowerCase();
      if (!ROOM_NAME.test(room)) return "Use up to 64 of a–z, 0–9 and -, with a letter or digit first.";
      return actions.join(room);
    });
    new Adder("person", async (name) => {
      if (!name) return "Whom do you want to write to?";
      actions.converse(name);
      return null;
    });
    this.#status.addEventListener("change", () => {
      const status = STATUSES.find((each) => each === this.#status.value);
      if (status) actions.setStatus(status);
    });
    find("logout", HTMLButtonElement).addEventListener("click", actions.logout);
  }

  /**
   * @param {import("../store.js").State} state
   * @param {import("../connection.js").Link} link
   */
  render(state, link) {
    const rows = [...state.conversations.values()].map(({ key, name, kind, unread, joined }) => ({
      id: key,
      name,
      kind,
      unread,
      current: key === state.open,
      status: state.statuses.get(name) ?? "",
      asleep: kind === "room" && !joined,
    }));
    this.#rooms.render(rows.filter(({ kind }) => kind === "room"));
    this.#people.render(rows.filter(({ kind }) => kind === "private"));
    if (this.#me.textContent !== state.me) {
      write(this.#me, state.me);
      paintAvatar(this.#avatar, state.me);
    }
    this.#status.value = state.status ?? "online";
    this.#status.disabled = link.phase !== "open";
  }
}

/** A form of one field that adds a conversation, with its error below. */
class Adder {
  #input;
  #error;

  /**
   * @param {string} id
   * @param {(name: string) => Promise<string | null>} add Gives the reason where it cannot.
   */
  constructor(id, add) {
    const form = find(`${id}-form`, HTMLFormElement);
    this.#input = find(`${id}-name`, HTMLInputElement);
    this.#error = find(`${id}-error`, HTMLElement);
    this.#input.addEventListener("input", () => this.#show(null));
    let adding = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (adding) return;
      adding = true;
      const problem = await add(this.#input.value.trim());
      adding = false;
      this.#show(problem);
      if (problem === null) this.#input.value = "";
      else this.#input.focus();
    });
  }

  /** @param {string | null} problem */
  #show(problem) {
    this.#input.ariaInvalid = problem === null ? null : "true";
    write(this.#error, problem ?? "");
  }
}

/**
 * @param {EntryRow} row
 * @param {() => void} open
 */
function entry({ kind, name }, open) {
  const sign =
    kind === "room" ? element("span", { className: "hash", ariaHidden: "true" }, "#") : avatar(name);
  if (kind === "private") sign.append(dot());
  const button = element(
    "button",
    { type: "button", onclick: open },
    sign,
    element("span", { className: "name" }, name),
    element("span", { className: "visually-hidden status" }),
    element("span", { className: "badge" }),
    element("span", { className: "visually-hidden unread" }),
  );
  return element("li", {}, button);
}

/**
 * @param {HTMLElement} item
 * @param {EntryRow} row
 */
function paint(item, { kind, unread, current, status, asleep }) {
  const button = /** @type {HTMLButtonElement} */ (item.firstElementChild);
  /** @param {string} name */
  const part = (name) => /** @type {HTMLElement} */ (button.querySelector(`:scope > .${name}`));
  button.ariaCurrent = current ? "true" : null;
  button.classList.toggle("asleep", asleep);
  write(part("badge"), unread ? shortened(unread) : "");
  part("badge").ariaHidden = "true";
  write(part("unread"), unread ? `, ${unread} unread` : "");
  if (kind === "room") return;
  /** @type {HTMLElement} */ (button.querySelector(".dot")).dataset.status = status;
  write(part("status"), `, ${statusWord(status)}`);
}

/** @param {number} count */
export function shortened(count) {
  return count > 99 ? "99+" : String(count);
}
