import assert from "node:assert/strict";
import { test } from "node:test";
import * as outbox from "../../../examples/chat/static/outbox.js";
import { append, conversation, initial } from "../../../examples/chat/static/store.js";
import { timeline } from "../../../examples/chat/static/timeline.js";

const room = (...messages) => {
  const empty = conversation("room", "a");
  const state = { ...initial("alice"), conversations: new Map([[empty.key, empty]]) };
  const add = (next, [user, at]) => append(next, "#a", { user, text: "x", at });
  return messages.reduce(add, state).conversations.get("#a");
};
const sketch = (rows) =>
  rows.map((row) => (row.kind === "message" ? `${row.user}${row.first ? "*" : ""}` : row.kind));

test("messages of one person within five minutes form a group", () => {
  const messages = room(
    ["bob", "2026-11-24T09:00:00"],
    ["bob", "2026-11-24T09:04:59"],
    ["bob", "2026-11-24T09:09:59"],
    ["alice", "2026-11-24T09:10:00"],
  );
  messages.marker = null;
  assert.deepEqual(sketch(timeline(messages, [], "alice")), ["day", "bob*", "bob", "bob*", "alice*"]);
});

test("days, gaps and the marker of what is new begin a group", () => {
  const messages = room(
    ["bob", "2026-11-23T23:59:59"],
    ["bob", "2026-11-24T00:00:00"],
    ["bob", "2026-11-24T00:00:01"],
  );
  messages.marker = messages.items[2].id;
  messages.items = [...messages.items, { kind: "gap", id: "g" }];
  const rows = sketch(timeline(messages, [], "alice"));
  assert.deepEqual(rows, ["day", "bob*", "day", "bob*", "marker", "bob*", "gap"]);
});

test("what is not sent stands at the end, with its fate", () => {
  const entry = { key: "k", lane: "message", text: "x", at: "2026-11-24T09:01:00" };
  const entries = [outbox.entry({ ...entry, to: "#b" }), outbox.entry({ ...entry, to: "#a" })];
  const rows = timeline(room(["alice", "2026-11-24T09:00:00"]), entries, "alice");
  assert.deepEqual(sketch(rows), ["day", "alice*", "alice"]);
  assert.deepEqual([rows[2].id, rows[2].delivery, rows[2].mine], ["k", "queued", true]);
});

test("every row has an id of its own", () => {
  const messages = room(
    ["bob", "2026-11-24T09:00:00"],
    ["bob", "2026-11-25T09:00:00"],
    ["bob", "2026-11-24T09:00:00"],
  );
  const ids = timeline(messages, [], "alice").map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});
