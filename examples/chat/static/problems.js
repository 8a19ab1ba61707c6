/**
 * Errors of the server, in words for the person who caused or met them.
 *
 * @typedef {{code: string, detail: string}} Problem
 */

const SENTENCES = new Map([
  ["forbidden", "You are not allowed to do this."],
  ["not_a_member", "You are not in this room any more."],
  ["not_found", "There is no such room."],
  ["rate_limited", "That was too fast. Wait a moment."],
  ["recipient_offline", "Not delivered: this person is not connected."],
  ["timeout", "The server took too long to answer."],
  ["too_many_rooms", "You are in as many rooms as you may be. Leave one first."],
  ["unauthenticated", "You are not logged in any more."],
  ["unavailable", "The server cannot do this right now."],
]);

/** @param {Problem} problem */
export function sentence({ code, detail }) {
  return SENTENCES.get(code) ?? detail;
}
