/**
 * What the page knows: conversations, their messages and members, what is unread, and each room's position.
 *
 * Pure functions from one state to the next; frames come in through `receive`. No DOM, no socket, no clock.
 *
 * @typedef {{offset: number, epoch: string}} Position
 * @typedef {"online" | "away" | "busy"} Status
 *
 * @typedef {{kind: "message", id: string, user: string, text: string, at: string}} MessageItem
 * @typedef {{kind: "gap", id: string}} GapItem Messages may be missing here: the server can no longer replay them.
 * @typedef {MessageItem | GapItem} Item
 *
 * @typedef {object} Conversation
 * @property {string} key `#room` or `@user`.
 * @property {"room" | "private"} kind
 * @property {string} name
 * @property {readonly Item[]} items Oldest first.
 * @property {number} serial Counts the items ever added; numbers them.
 * @property {number} unread
 * @property {string | null} marker The first item that was new when the person last looked away.
 * @property {string} draft
 * @property {Position | null} position Up to where this room was seen.
 * @property {boolean} joined Whether this connection is in the room.
 * @property {string | null} problem Why it is not.
 * @property {readonly string[]} members Sorted; at most 200 of `count`.
 * @property {number} count
 *
 * @typedef {object} State
 * @property {string} me
 * @property {Status | null} status My own; null until the server told it or a person set it.
 * @property {string | null} open The conversation on the screen.
 * @property {boolean} reading Whether its end is before somebody's eyes.
 * @property {ReadonlyMap<string, Conversation>} conversations
 * @property {ReadonlyMap<string, Status>} statuses Of the people who share a room with me.
 * @property {readonly import("./outbox.js").Entry[]} outbox
 */

import { without } from "./outbox.js";

/** How many items a conversation keeps on the page. */
const MOST_ITEMS = 500;

export const ROOM_NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** @type {readonly Status[]} */
export const STATUSES = ["online", "away", "busy"];

/** @param {string} room */
export const roomKey = (room) => `#${room}`;

/** @param {string} user */
export const personKey = (user) => `@${user}`;

/**
 * @param {string} me
 * @returns {State}
 */
export function initial(me) {
  return {
    me,
    status: null,
    open: null,
    reading: false,
    conversations: new Map(),
    statuses: new Map(),
    outbox: [],
  };
}

/**
 * @param {"room" | "private"} kind
 * @param {string} name
 * @returns {Conversation}
 */
export function conversation(kind, name) {
  return {
    key: kind === "room" ? roomKey(name) : personKey(name),
    kind,
    name,
    items: [],
    serial: 0,
    unread: 0,
    marker: null,
    draft: "",
    position: null,
    joined: false,
    problem: null,
    members: [],
    count: 0,
  };
}

/**
 * Changes one conversation; one that is not there stays away.
 * @param {State} state
 * @param {string} key
 * @param {Partial<Conversation>} changes
 * @returns {State}
 */
export function update(state, key, changes) {
  const known = state.conversations.get(key);
  return known ? put(state, { ...known, ...changes }) : state;
}

/**
 * @param {State} state
 * @param {Conversation} changed
 * @returns {State}
 */
function put(state, changed) {
  return { ...state, conversations: new Map(state.conversations).set(changed.key, changed) };
}

/**
 * Makes sure of a private conversation with `user`.
 * @param {State} state
 * @param {string} user
 */
export function withPerson(state, user) {
  return state.conversations.has(personKey(user)) ? state : put(state, conversation("private", user));
}

/**
 * Puts a conversation on the screen. The marker of the one that leaves it has served, unless there is still more unread.
 * @param {State} state
 * @param {string | null} key
 * @returns {State}
 */
export function open(state, key) {
  if (state.open === key) return state;
  const last = state.open === null ? undefined : state.conversations.get(state.open);
  const cleared = last && !last.unread ? update(state, last.key, { marker: null }) : state;
  return { ...cleared, open: key };
}

/**
 * Notes whether the end of the open conversation is being looked at, which makes it read.
 * @param {State} state
 * @param {boolean} reading
 * @returns {State}
 */
export function read(state, reading) {
  const current = state.open === null ? undefined : state.conversations.get(state.open);
  const noted = state.reading === reading ? state : { ...state, reading };
  return reading && current?.unread ? update(noted, current.key, { unread: 0 }) : noted;
}

/**
 * Takes a conversation away with all that was written for it; the next one comes on the screen.
 * @param {State} state
 * @param {string} key
 * @returns {State}
 */
export function remove(state, key) {
  const conversations = new Map(state.conversations);
  conversations.delete(key);
  const open = state.open === key ? (conversations.keys().next().value ?? null) : state.open;
  return { ...state, conversations, open, outbox: state.outbox.filter((entry) => entry.to !== key) };
}

/**
 * The connection is gone: no room is joined, and nobody's status is known.
 * @param {State} state
 * @returns {State}
 */
export function disconnected(state) {
  const conversations = new Map(
    [...state.conversations].map(([key, each]) => [key, { ...each, joined: false, problem: null }]),
  );
  return { ...state, conversations, statuses: new Map() };
}

/**
 * Adds a message to a conversation, unread unless it is mine or being looked at.
 * @param {State} state
 * @param {string} key
 * @param {{user: string, text: string, at: string, id?: string, position?: Position | null}} message
 *   `id`: that of the outbox entry it came from, so that the page sees one message and not two.
 * @returns {State}
 */
export function append(state, key, { user, text, at, id, position }) {
  const known = state.conversations.get(key);
  if (!known) return state;
  const serial = known.serial + 1;
  const item = /** @type {MessageItem} */ ({ kind: "message", id: id ?? String(serial), user, text, at });
  const unread = user !== state.me && !(state.reading && state.open === key);
  return put(state, {
    ...known,
    serial,
    items: [...known.items, item].slice(-MOST_ITEMS),
    position: position ?? known.position,
    unread: known.unread + (unread ? 1 : 0),
    marker: unread && !known.unread ? item.id : known.marker,
  });
}

/**
 * The next state after a frame of the server; frames that say nothing about conversations change nothing.
 * @param {State} state
 * @param {import("./connection.js").Frame} frame
 * @returns {State}
 */
export function receive(state, frame) {
  switch (frame.type) {
    case "joined":
      return joined(state, frame);
    case "member_joined":
      return memberJoined(state, frame);
    case "member_left":
      return memberLeft(state, frame);
    case "message":
      return message(state, frame);
    case "private":
      return privateMessage(state, frame);
    case "status":
      return {
        ...state,
        status: frame.user === state.me ? frame.status : state.status,
        statuses: new Map(state.statuses).set(frame.user, frame.status),
      };
    default:
      return state;
  }
}

/**
 * @param {State} state
 * @param {import("./connection.js").Frame} frame
 * @returns {State}
 */
function joined(state, { room, members, count, offset, epoch, recovered }) {
  const key = roomKey(room);
  const { position = null, joined = false } = state.conversations.get(key) ?? {};
  // What was missed follows as ordinary frames, and each of them moves the position. An answer to a second join on
  // the same connection says nothing of what this connection has yet to bring.
  const resumed = position !== null && (recovered || joined);
  const next = position === null || resumed ? state : abandon(state, key, { offset, epoch });
  const known = next.conversations.get(key) ?? conversation("room", room);
  const statuses = new Map(next.statuses);
  for (const { user, status } of members) statuses.set(user, status);
  return {
    ...put(next, {
      ...known,
      joined: true,
      problem: null,
      members: members.map((/** @type {{user: string}} */ { user }) => user).sort(),
      count,
      position: resumed ? position : { offset, epoch },
    }),
    statuses,
    status: next.status ?? statuses.get(next.me) ?? null,
  };
}

/**
 * Gives up the messages between the last position of a room and its present one: a gap stands for them, after the
 * page's own text of what the server had acknowledged and will not send again.
 * @param {State} state
 * @param {string} key
 * @param {Position} present
 * @returns {State}
 */
function abandon(state, key, present) {
  let next = state;
  for (const entry of state.outbox) {
    if (entry.to !== key || entry.state !== "acknowledged") continue;
    next = append(next, key, { user: state.me, text: entry.text, at: entry.at, id: entry.key });
    next = { ...next, outbox: without(next.outbox, entry.key) };
  }
  const known = /** @type {Conversation} */ (next.conversations.get(key));
  const last = known.position;
  const moved = last?.epoch !== present.epoch || last.offset !== present.offset;
  if (!moved || known.items.length === 0 || known.items.at(-1)?.kind === "gap") return next;
  const serial = known.serial + 1;
  /** @type {Item} */
  const gap = { kind: "gap", id: String(serial) };
  return put(next, { ...known, serial, items: [...known.items, gap] });
}

/**
 * @param {State} state
 * @param {import("./connection.js").Frame} frame
 * @returns {State}
 */
function memberJoined(state, { room, user }) {
  const known = state.conversations.get(roomKey(room));
  if (!known || known.members.includes(user)) return state;
  const next = update(state, known.key, { members: [...known.members, user].sort(), count: known.count + 1 });
  // The announcement has no status; someone I share no other room with has most likely just come.
  return state.statuses.has(user) ? next : { ...next, statuses: new Map(state.statuses).set(user, "online") };
}

/**
 * @param {State} state
 * @param {import("./connection.js").Frame} frame
 * @returns {State}
 */
function memberLeft(state, { room, user }) {
  const known = state.conversations.get(roomKey(room));
  if (!known) return state;
  const next = update(state, known.key, {
    members: known.members.filter((member) => member !== user),
    count: Math.max(known.count - 1, 0),
  });
  if ([...next.conversations.values()].some(({ members }) => members.includes(user))) return next;
  const statuses = new Map(next.statuses);
  statuses.delete(user);
  return { ...next, statuses };
}

/**
 * @param {State} state
 * @param {import("./connection.js").Frame} frame
 * @returns {State}
 */
function message(state, { room, user, text, at, offset }) {
  const key = roomKey(room);
  // What comes from a room that is being left comes again, in its turn, when it is entered again.
  const { joined = false, position = null } = state.conversations.get(key) ?? {};
  if (!joined || seen(state, key, offset)) return state;
  const mine = state.outbox.find(
    (entry) => entry.to === key && entry.state === "acknowledged" && entry.offset === offset,
  );
  const next = append(state, key, {
    user,
    text,
    at,
    id: mine?.key,
    position: position && offset !== undefined ? { ...position, offset } : position,
  });
  return mine ? { ...next, outbox: without(next.outbox, mine.key) } : next;
}

/**
 * Whether the message at `offset` of a room is on the page.
 * @param {State} state
 * @param {string} key
 * @param {number | undefined} offset undefined in a room without history
 */
export function seen(state, key, offset) {
  const position = state.conversations.get(key)?.position;
  return offset !== undefined && !!position && offset <= position.offset;
}

/**
 * A private message of somebody else, or my own from another window.
 * @param {State} state
 * @param {import("./connection.js").Frame} frame
 * @returns {State}
 */
function privateMessage(state, { user, to, text, at }) {
  const other = user === state.me ? to : user;
  return append(withPerson(state, other), personKey(other), { user, text, at });
}
