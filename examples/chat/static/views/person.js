/** How a person looks everywhere on the page: the avatar made of initials, and the dot that tells the status. */

import { element } from "./element.js";

const HUES = 8;

/** @type {Record<string, string>} */
const WORDS = { online: "online", away: "away", busy: "busy" };

/**
 * @param {HTMLElement} node
 * @param {string} user
 */
export function paintAvatar(node, user) {
  let sum = 0;
  for (const character of user) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  node.dataset.hue = String(sum % HUES);
  node.textContent = initials(user);
}

/** @param {string} user */
export function avatar(user) {
  const made = element("span", { className: "avatar", ariaHidden: "true" });
  paintAvatar(made, user);
  return made;
}

/** @param {string} user */
function initials(user) {
  const words = user.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters =
    words.length > 1 ? [words[0], words[1]].map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 1);
  return letters.join("").toUpperCase();
}

/** The dot of a status, whose shape tells what its colour tells; words for it stand beside. */
export function dot() {
  return element("span", { className: "dot", ariaHidden: "true" });
}

/** @param {string | undefined} status */
export function statusWord(status) {
  return WORDS[status ?? ""] ?? "status not known";
}
