import assert from "node:assert/strict";
import { test } from "node:test";
import * as outbox from "../../../examples/chat/static/outbox.js";
import * as store from "../../../examples/chat/static/store.js";

const AT = "2026-11-24T09:00:00Z";
const joined = (changes = {}) => ({
  type: "joined",
  room: "a",
  members: [{ user: "alice", status: "online" }],
  count: 1,
  offset: 0,
  epoch: "e1",
  recovered: false,
  ...changes,
});
const message = (offset, changes = {}) => ({
  type: "message",
  room: "a",
  user: "bob",
  text: `m${offset}`,
  at: AT,
  offset,
  ...changes,
});
const after = (frames, state = store.initial("alice")) => frames.reduce(store.receive, state);
const room = (state, name = "a") => state.conversations.get(`#${name}`);
const shown = (state, key = "#a") => state.conversations.get(key).items.map((item) => item.text ?? item.kind);

test("a first join takes its position from the answer", () => {
  const state = after([joined({ offset: 14 })]);
  assert.deepEqual(room(state).position, { offset: 14, epoch: "e1" });
  assert.deepEqual(shown(state), []);
});

test("each message moves the position", () => {
  const state = after([joined(), message(1), message(2)]);
  assert.deepEqual(room(state).position, { offset: 2, epoch: "e1" });
});

test("a message that was seen is not shown again", () => {
  assert.deepEqual(shown(after([joined(), message(1), message(1), message(2), message(1)])), ["m1", "m2"]);
});

test("after a recovery the position moves with the replayed frames, not with the answer", () => {
  const away = store.disconnected(after([joined(), message(1)]));
  const back = after([joined({ offset: 3, recovered: true })], away);
  assert.deepEqual(room(back).position, { offset: 1, epoch: "e1" });
  assert.deepEqual(shown(after([message(2), message(3), message(4)], back)), ["m1", "m2", "m3", "m4"]);
});

test("a stream that could not be recovered leaves one gap", () => {
  const away = store.disconnected(after([joined(), message(1)]));
  const back = after([joined({ offset: 900 })], away);
  assert.deepEqual(shown(back), ["m1", "gap"]);
  assert.deepEqual(room(back).position, { offset: 900, epoch: "e1" });
  const again = after([joined({ offset: 2000 })], store.disconnected(back));
  assert.deepEqual(shown(again), ["m1", "gap"]);
});

test("a new epoch is a gap even at the same offset, and its messages are new", () => {
  const away = store.disconnected(after([joined(), message(1)]));
  const back = after([joined({ offset: 1, epoch: "e2" }), message(2)], away);
  assert.deepEqual(shown(back), ["m1", "gap", "m2"]);
});

test("nothing is missing where the position did not move", () => {
  const away = store.disconnected(after([joined(), message(1)]));
  assert.deepEqual(shown(after([joined({ offset: 1 })], away)), ["m1"]);
});

test("a second join on one connection keeps the position of what was seen", () => {
  const state = after([joined(), message(1), joined({ offset: 5 }), message(2)]);
  assert.deepEqual(shown(state), ["m1", "m2"]);
});

test("a room without history has no offsets and loses nothing to them", () => {
  const plain = (text) => message(undefined, { text });
  assert.deepEqual(shown(after([joined(), plain("x"), plain("x")])), ["x", "x"]);
});

test("a conversation keeps its newest messages", () => {
  const frames = Array.from({ length: 501 }, (_, index) => message(index + 1));
  const state = after([joined(), ...frames]);
  assert.deepEqual([shown(state).length, shown(state)[0], shown(state).at(-1)], [500, "m2", "m501"]);
});

test("messages of others are unread until they are looked at", () => {
  let state = after([joined(), joined({ room: "b" })]);
  state = store.read(store.open(state, "#b"), true);
  state = after([message(1), message(2, { user: "alice" }), message(3)], state);
  assert.deepEqual([room(state).unread, room(state).marker], [2, room(state).items[0].id]);
  state = store.read(store.open(state, "#a"), true);
  assert.equal(room(state).unread, 0);
  assert.equal(after([message(4)], state).conversations.get("#a").unread, 0);
});

test("the open conversation is unread while nobody sees its end", () => {
  const state = after([message(1)], store.read(store.open(after([joined()]), "#a"), false));
  assert.equal(room(state).unread, 1);
});

test("the marker goes when the conversation leaves the screen", () => {
  let state = after([joined(), joined({ room: "b" }), message(1)]);
  state = store.read(store.open(state, "#a"), true);
  assert.notEqual(room(state).marker, null);
  assert.equal(room(store.open(state, "#b")).marker, null);
});

test("members come and go, and their count with them", () => {
  const come = { type: "member_joined", room: "a", user: "bob" };
  const go = { type: "member_left", room: "a", user: "bob" };
  const state = after([joined(), come, come]);
  assert.deepEqual([room(state).members, room(state).count], [["alice", "bob"], 2]);
  assert.equal(state.statuses.get("bob"), "online");
  const left = after([go], state);
  assert.deepEqual([room(left).members, room(left).count, left.statuses.has("bob")], [["alice"], 1, false]);
});

test("a status is known as long as a room is shared", () => {
  const members = [
    { user: "alice", status: "online" },
    { user: "bob", status: "busy" },
  ];
  const both = after([joined({ members, count: 2 }), joined({ room: "b", members, count: 2 })]);
  const one = after([{ type: "member_left", room: "a", user: "bob" }], both);
  assert.equal(one.statuses.get("bob"), "busy");
  assert.equal(after([{ type: "member_joined", room: "a", user: "bob" }], one).statuses.get("bob"), "busy");
});

test("my own status follows my other windows", () => {
  assert.equal(after([joined(), { type: "status", user: "alice", status: "away" }]).status, "away");
});

test("a private message opens a conversation with the other one, whoever wrote it", () => {
  const from = (user, to) => ({ type: "private", user, to, text: "psst", at: AT });
  const state = after([from("bob", "alice"), from("alice", "carol")]);
  assert.deepEqual([...state.conversations.keys()], ["@bob", "@carol"]);
  assert.deepEqual(
    [...state.conversations.values()].map(({ unread }) => unread),
    [1, 0],
  );
});

test("frames of a room that was left are nothing", () => {
  const state = store.initial("alice");
  assert.equal(
    after([message(1), { type: "member_joined", room: "a", user: "bob" }, { type: "news" }], state),
    state,
  );
});

const acknowledged = (offset) => ({
  ...outbox.entry({ key: "k", to: "#a", lane: "message", text: "damn", at: AT }),
  state: "acknowledged",
  offset,
});

test("my own copy takes the place of what was acknowledged, as the server tells it", () => {
  const state = { ...after([joined()]), outbox: [acknowledged(1)] };
  const next = after([message(1, { user: "alice", text: "****" })], state);
  assert.deepEqual([shown(next), next.outbox, room(next).items[0].id], [["****"], [], "k"]);
});

test("what was acknowledged and cannot be recovered stands before the gap", () => {
  const state = { ...store.disconnected(after([joined(), message(1)])), outbox: [acknowledged(2)] };
  const next = after([joined({ offset: 900 })], state);
  assert.deepEqual([shown(next), next.outbox], [["m1", "damn", "gap"], []]);
});

test("a conversation goes with all that was written for it", () => {
  const state = store.open({ ...after([joined(), joined({ room: "b" })]), outbox: [acknowledged(1)] }, "#a");
  const next = store.remove(state, "#a");
  assert.deepEqual([[...next.conversations.keys()], next.open, next.outbox], [["#b"], "#b", []]);
});

test("room names are those that the server takes", () => {
  for (const name of ["a", "0", "general", "a-b-", "x".repeat(64)]) assert.match(name, store.ROOM_NAME);
  for (const name of ["", "-a", "A", "a b", "ä", "a\n", "x".repeat(65)])
    assert.doesNotMatch(name, store.ROOM_NAME);
});
