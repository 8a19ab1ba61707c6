/** Who is in the open room. */

import { List, element, find, write } from "./element.js";
import { avatar, dot, statusWord } from "./person.js";

/** @typedef {{id: string, me: boolean, status: string}} MemberRow */

export class MembersView {
  #root = find("members", HTMLElement);
  #button = find("members-button", HTMLButtonElement);
  #title = find("members-title", HTMLElement);
  #list;

  /** @param {(user: string) => void} converse */
  constructor(converse) {
    this.#list = new List(find("member-list", HTMLUListElement), (row) => member(row, converse), paint);
  }

  /** @param {import("../store.js").State} state */
  render(state) {
    const room = state.conversations.get(state.open ?? "");
    const shown = room?.kind === "room";
    this.#root.hidden = !shown;
    this.#button.hidden = !shown;
    if (!shown) return;
    const { members, count, joined } = room;
    write(this.#title, joined ? `Members, ${count}` : "Members");
    this.#list.render(
      joined
        ? members.map((user) => ({
            id: user,
            me: user === state.me,
            status: state.statuses.get(user) ?? "online",
          }))
        : [],
    );
  }
}

/**
 * @param {MemberRow} row
 * @param {(user: string) => void} converse
 */
function member({ id, me }, converse) {
  const picture = avatar(id);
  picture.append(dot());
  const parts = [
    picture,
    element("span", { className: "name" }, me ? `${id} (you)` : id),
    element("span", { className: "status" }),
  ];
  if (me) return element("li", { className: "self" }, ...parts);
  const button = element(
    "button",
    { type: "button", title: `Write to ${id}`, onclick: () => converse(id) },
    ...parts,
  );
  return element("li", {}, button);
}

/**
 * @param {HTMLElement} item
 * @param {MemberRow} row
 */
function paint(item, { status }) {
  /** @type {HTMLElement} */ (item.querySelector(".dot")).dataset.status = status;
  write(/** @type {HTMLElement} */ (item.querySelector(".status")), statusWord(status));
}
