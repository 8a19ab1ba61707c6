/**
 * The order in which a conversation reads: days, groups of messages by one person, gaps, the marker of what is new,
 * and at the end what is not sent yet. Rows are flat values, so that the view can tell which of them changed.
 *
 * @typedef {{kind: "day", id: string, at: string}} DayRow
 * @typedef {{kind: "gap" | "marker", id: string}} LineRow
 * @typedef {object} MessageRow
 * @property {"message"} kind
 * @property {string} id
 * @property {string} user
 * @property {string} text
 * @property {string} at
 * @property {boolean} mine
 * @property {boolean} first Whether it opens a group.
 * @property {import("./outbox.js").EntryState | null} delivery null for what is delivered.
 * @property {import("./problems.js").Problem | null} problem
 * @typedef {DayRow | LineRow | MessageRow} Row
 */

/** Messages of one person that follow within this time form a group. */
const GROUP = 5 * 60_000;

/**
 * @param {import("./store.js").Conversation} conversation
 * @param {readonly import("./outbox.js").Entry[]} outbox
 * @param {string} me
 * @returns {Row[]}
 */
export function timeline(conversation, outbox, me) {
  /** @type {Row[]} */
  const rows = [];
  /** @type {MessageRow | null} */
  let last = null;
  let day = "";

  /** @param {Omit<MessageRow, "kind" | "mine" | "first">} message */
  const add = (message) => {
    const today = new Date(message.at).toDateString();
    if (today !== day) {
      rows.push({ kind: "day", id: `day ${today} ${message.id}`, at: message.at });
      day = today;
      last = null;
    }
    if (message.id === conversation.marker) {
      rows.push({ kind: "marker", id: "marker" });
      last = null;
    }
    const first = last?.user !== message.user || Date.parse(message.at) - Date.parse(last.at) >= GROUP;
    last = { kind: "message", ...message, mine: message.user === me, first };
    rows.push(last);
  };

  for (const item of conversation.items) {
    if (item.kind === "gap") {
      rows.push({ kind: "gap", id: item.id });
      last = null;
    } else {
      add({ id: item.id, user: item.user, text: item.text, at: item.at, delivery: null, problem: null });
    }
  }
  for (const entry of outbox) {
    if (entry.to !== conversation.key) continue;
    add({
      id: entry.key,
      user: me,
      text: entry.text,
      at: entry.at,
      delivery: entry.state,
      problem: entry.problem,
    });
  }
  return rows;
}
