import assert from "node:assert/strict";
import { test } from "node:test";
import { Archive } from "../../../examples/chat/static/archive.js";
import * as outbox from "../../../examples/chat/static/outbox.js";
import * as store from "../../../examples/chat/static/store.js";
import { FakeStorage } from "./fakes.js";

const AT = "2026-11-24T09:00:00Z";
const joined = { type: "joined", room: "a", members: [], count: 0, offset: 0, epoch: "e1", recovered: false };
const message = (offset, text = "hi") => ({ type: "message", room: "a", user: "bob", text, at: AT, offset });
const state = (...frames) =>
  store.open([joined, ...frames].reduce(store.receive, store.initial("alice")), "#a");

test("a reload finds messages, position, draft and what was under way", () => {
  const storage = new FakeStorage();
  const entry = outbox.entry({ key: "k", to: "#a", lane: "message", text: "x", at: AT });
  const before = store.update(state(message(1)), "#a", { draft: "half a thou" });
  new Archive(storage).save({ ...before, status: "away", outbox: [{ ...entry, ...outbox.sending(5) }] });
  const after = new Archive(storage).load("alice");
  const room = after.conversations.get("#a");
  assert.deepEqual(
    [room.items[0].text, room.position, room.draft],
    ["hi", { offset: 1, epoch: "e1" }, "half a thou"],
  );
  assert.deepEqual([after.open, after.status, room.joined], ["#a", "away", false]);
  assert.deepEqual([after.outbox[0].state, after.outbox[0].doubtSince], ["queued", 5]);
});

test("another user finds nothing, and nothing is left of the first", () => {
  const storage = new FakeStorage();
  new Archive(storage).save(state(message(1)));
  assert.equal(new Archive(storage).load("bob"), null);
  assert.deepEqual(Object.keys(storage), []);
});

test("the newest messages are kept, up to a bound", () => {
  const storage = new FakeStorage();
  const long = Array.from({ length: 10 }, (_, index) => message(index + 1, String(index).repeat(4096)));
  new Archive(storage).save(state(...long));
  const { items, position } = new Archive(storage).load("alice").conversations.get("#a");
  assert.deepEqual([items.map(({ text }) => text[0]).join(""), position.offset], ["6789", 10]);
});

test("a full storage keeps the older position with the older messages", () => {
  const storage = new FakeStorage(600);
  const archive = new Archive(storage);
  const first = state(message(1));
  archive.save(first);
  archive.save(store.receive(first, message(2, "long".repeat(200))));
  const { items, position } = new Archive(storage).load("alice").conversations.get("#a");
  assert.deepEqual([items.length, position.offset], [1, 1]);
});

test("a conversation that is gone leaves nothing behind", () => {
  const storage = new FakeStorage();
  const archive = new Archive(storage);
  const first = state();
  archive.save(first);
  archive.save(store.remove(first, "#a"));
  assert.deepEqual(new Archive(storage).load("alice").conversations.size, 0);
  assert.ok(!Object.keys(storage).some((key) => key.endsWith("#a")));
});
