import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../../../examples/chat/static/client.js";
import { FakeClock, fakeSockets } from "./fakes.js";

const joined = (ref, changes = {}) => ({
  type: "joined",
  ref,
  room: "general",
  members: [{ user: "alice", status: "online" }],
  count: 1,
  offset: 0,
  epoch: "e1",
  recovered: false,
  ...changes,
});

const refused = (ref, code, changes = {}) => ({
  type: "error",
  ref,
  code,
  detail: "",
  retryable: true,
  ...changes,
});

function setUp(options = {}) {
  const clock = new FakeClock();
  const Socket = fakeSockets();
  let keys = 0;
  let ended = 0;
  const client = new Client({
    session: { user: "alice", token: "t", expiresAt: null },
    url: "ws://test/ws",
    state: null,
    onchange: () => {},
    onended: () => ended++,
    Socket,
    clock,
    random: () => 0.5,
    newKey: () => `key-${++keys}`,
    ...options,
  });
  client.connect();
  return { client, clock, Socket, ended: () => ended };
}

/** A client in the default room, with nothing under way. */
function inRoom(options) {
  const all = setUp(options);
  all.Socket.last.accept();
  all.Socket.last.bring(joined(all.Socket.last.take().id));
  return all;
}

/** Loses the connection with `code`, comes back, and answers the join. */
function comeBack({ Socket, clock }, code, changes) {
  Socket.last.end(code);
  clock.advance(20_000);
  Socket.last.accept();
  const join = Socket.last.take();
  Socket.last.bring(joined(join.id, changes));
  return join;
}

const own = (text, offset) => ({
  type: "message",
  room: "general",
  user: "alice",
  text,
  at: "2026-11-24T09:00:00Z",
  offset,
});
const shown = ({ state }) => state.conversations.get(state.open).items.map(({ text }) => text);
const unsent = ({ state }) => state.outbox.map(({ text, state }) => [text, state]);

test("a first visit joins the default room, without a position", () => {
  const { Socket } = setUp();
  Socket.last.accept();
  const { type, room, since } = Socket.last.take();
  assert.deepEqual([type, room, since], ["join", "general", undefined]);
});

test("a message goes out with a key and disappears from the outbox with its copy", () => {
  const { client, Socket } = inRoom();
  client.say("hi");
  const { id, ...frame } = Socket.last.take();
  assert.deepEqual(frame, { type: "message", room: "general", text: "hi", key: "key-1" });
  Socket.last.bring({ type: "ack", ref: id, offset: 1 });
  assert.deepEqual(unsent(client), [["hi", "acknowledged"]]);
  Socket.last.bring(own("hi", 1));
  assert.deepEqual([unsent(client), shown(client)], [[], ["hi"]]);
});

test("the copy may come before the acknowledgement", () => {
  const { client, Socket } = inRoom();
  client.say("hi");
  Socket.last.bring(own("hi", 1));
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id, offset: 1 });
  assert.deepEqual([unsent(client), shown(client)], [[], ["hi"]]);
});

test("a message that a transform dropped is acknowledged without offset and is gone", () => {
  const { client, Socket } = inRoom();
  client.say("spam");
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id });
  assert.deepEqual(unsent(client), []);
});

test("messages wait for one another", () => {
  const { client, Socket } = inRoom();
  client.say("one");
  client.say("two");
  assert.deepEqual(
    Socket.last.sent.map(({ text }) => text),
    ["one"],
  );
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id, offset: 1 });
  assert.deepEqual(
    Socket.last.sent.map(({ text }) => text),
    ["two"],
  );
});

test("after a reconnect it resumes from its position and repeats with the same key", () => {
  const all = inRoom();
  const { client, Socket } = all;
  Socket.last.bring({ ...own("from bob", 1), user: "bob" });
  client.say("lost");
  const first = Socket.last.take();
  const join = comeBack(all, 1006, { offset: 2, recovered: true });
  assert.deepEqual(join.since, { offset: 1, epoch: "e1" });
  const again = Socket.last.take();
  assert.deepEqual([again.text, again.key], [first.text, first.key]);
  assert.notEqual(again.id, first.id);
  Socket.last.bring(own("lost", 2));
  Socket.last.bring({ type: "ack", ref: again.id, offset: 2 });
  assert.deepEqual([unsent(client), shown(client)], [[], ["from bob", "lost"]]);
});

test("what was written while away goes out after the room is entered, in order", () => {
  const all = inRoom();
  const { client, Socket, clock } = all;
  Socket.last.end(1006);
  client.say("one");
  client.say("two");
  clock.advance(1000);
  Socket.last.accept();
  const join = Socket.last.take();
  assert.deepEqual(Socket.last.sent, []);
  Socket.last.bring(joined(join.id, { recovered: true }));
  assert.equal(Socket.last.take().text, "one");
});

test("what can no longer be repeated safely is left to the person", () => {
  const all = inRoom();
  const { client, Socket, clock } = all;
  client.say("lost");
  Socket.last.end(3504);
  clock.advance(100_000);
  client.connect();
  Socket.last.accept();
  Socket.last.bring(joined(Socket.last.take().id));
  assert.deepEqual([unsent(client), Socket.last.sent], [[["lost", "unsure"]], []]);
  client.retry("key-1");
  assert.equal(Socket.last.take().key, "key-1");
});

test("a rate limit holds the lane for its wait, and the message goes out by itself", () => {
  const { client, Socket, clock } = inRoom();
  client.say("one");
  client.say("two");
  const { id } = Socket.last.take();
  Socket.last.bring(refused(id, "rate_limited", { retry_after: 1.5 }));
  assert.deepEqual([client.waits.message - clock.now(), Socket.last.sent], [1500, []]);
  clock.advance(1500);
  const { text, key } = Socket.last.take();
  assert.deepEqual([text, key, client.waits.message], ["one", "key-1", null]);
});

test("private messages do not wait for the limit of room messages", () => {
  const { client, Socket } = inRoom();
  client.say("one");
  const { id } = Socket.last.take();
  Socket.last.bring(refused(id, "rate_limited", { retry_after: 1.5 }));
  client.converse("bob");
  client.say("psst");
  assert.equal(Socket.last.take().text, "psst");
});

test("an unknown outcome is repeated with the same key after a pause", () => {
  const { client, Socket, clock } = inRoom();
  client.say("one");
  const { id } = Socket.last.take();
  Socket.last.bring(refused(id, "unavailable"));
  assert.deepEqual(Socket.last.sent, []);
  clock.advance(500);
  assert.equal(Socket.last.take().key, "key-1");
});

test("an error stays with its message until the person decides, and the next goes on", () => {
  const { client, Socket } = inRoom();
  client.converse("bob");
  client.say("psst");
  client.say("hey");
  const { id, ...frame } = Socket.last.take();
  assert.deepEqual(frame, { type: "private", to: "bob", text: "psst" });
  Socket.last.bring(refused(id, "recipient_offline", { detail: "bob is offline", retryable: false }));
  assert.deepEqual(unsent(client), [
    ["psst", "failed"],
    ["hey", "sending"],
  ]);
  client.discard("key-1");
  assert.deepEqual(unsent(client), [["hey", "sending"]]);
});

test("a private message is shown when it is acknowledged, and never repeated by itself", () => {
  const all = inRoom();
  const { client, Socket } = all;
  client.converse("bob");
  client.say("psst");
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id });
  client.say("lost");
  Socket.last.take();
  comeBack(all, 1006);
  assert.deepEqual([shown(client), unsent(client), Socket.last.sent], [["psst"], [["lost", "unsure"]], []]);
});

test("a status that was chosen is told again on the next connection", () => {
  const all = inRoom();
  const { client, Socket } = all;
  client.setStatus("busy");
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id });
  comeBack(all, 3001);
  const { type, status } = Socket.last.take();
  assert.deepEqual([type, status], ["status", "busy"]);
});

/** A room of another epoch, in which two messages were said before the page came back. */
function comeBackToAnother(all) {
  all.Socket.last.bring({ ...own("before", 1), user: "bob" });
  comeBack(all, 3001, { epoch: "e2", offset: 2 });
}

test("after a restart of the server it goes back for what was said before its return", () => {
  const all = inRoom();
  const { client, Socket } = all;
  comeBackToAnother(all);
  const leave = Socket.last.take();
  const { id, ...join } = Socket.last.take();
  assert.deepEqual([leave.type, leave.room], ["leave", "general"]);
  assert.deepEqual(join, { type: "join", room: "general", since: { offset: 0, epoch: "e2" } });
  Socket.last.bring(own("three", 3));
  Socket.last.bring({ type: "ack", ref: leave.id });
  Socket.last.bring(joined(id, { epoch: "e2", offset: 3, recovered: true }));
  for (const [index, text] of ["one", "two", "three"].entries()) Socket.last.bring(own(text, index + 1));
  assert.deepEqual(shown(client), ["before", undefined, "one", "two", "three"]);
});

test("it goes back once, and shows one gap where that was of no use", () => {
  const all = inRoom();
  const { client, Socket } = all;
  comeBackToAnother(all);
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id });
  Socket.last.bring(joined(Socket.last.take().id, { epoch: "e2", offset: 2 }));
  Socket.last.bring(own("three", 3));
  assert.deepEqual([Socket.last.sent, shown(client)], [[], ["before", undefined, "three"]]);
});

test("of many missed messages it gets the newest", () => {
  const all = inRoom();
  comeBack(all, 1006, { offset: 1000 });
  assert.equal(all.Socket.last.take().type, "leave");
  assert.deepEqual(all.Socket.last.take().since, { offset: 750, epoch: "e1" });
});

test("the status is told after the rooms, also where it went back", () => {
  const all = inRoom();
  const { client, Socket } = all;
  client.setStatus("busy");
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id });
  comeBackToAnother(all);
  Socket.last.take();
  const { id } = Socket.last.take();
  assert.deepEqual(Socket.last.sent, []);
  Socket.last.bring(joined(id, { epoch: "e2", offset: 2, recovered: true }));
  assert.equal(Socket.last.take().status, "busy");
});

test("a status that was refused is taken back, with a word about it", () => {
  const { client, Socket } = inRoom();
  client.setStatus("busy");
  assert.equal(client.state.status, "busy");
  const { id } = Socket.last.take();
  Socket.last.bring(refused(id, "rate_limited", { retry_after: 1 }));
  assert.deepEqual([client.state.status, client.notice], ["online", "That was too fast. Wait a moment."]);
});

test("joining opens the room, a refusal says why and leaves everything as it was", async () => {
  const { client, Socket } = inRoom();
  const good = client.join("garden");
  Socket.last.bring(joined(Socket.last.take().id, { room: "garden" }));
  assert.deepEqual([await good, client.state.open], [null, "#garden"]);
  const bad = client.join("secret");
  const { id } = Socket.last.take();
  Socket.last.bring(refused(id, "forbidden", { retryable: false }));
  assert.equal(await bad, "You are not allowed to do this.");
  assert.deepEqual([...client.state.conversations.keys()], ["#general", "#garden"]);
});

test("a room that cannot be entered again says so, and is tried again where that may help", () => {
  const all = inRoom();
  const { client, Socket, clock } = all;
  Socket.last.end(1006);
  clock.advance(1000);
  Socket.last.accept();
  const fail = (code, changes) => Socket.last.bring(refused(Socket.last.take().id, code, changes));
  fail("rate_limited", { retry_after: 0.2 });
  clock.advance(200);
  fail("forbidden");
  assert.equal(client.state.conversations.get("#general").problem, "You are not allowed to do this.");
  client.enter("#general");
  Socket.last.bring(joined(Socket.last.take().id));
  assert.equal(client.state.conversations.get("#general").problem, null);
});

test("a room that is left goes when the server agrees, and is not entered again", () => {
  const all = inRoom();
  const { client, Socket, clock } = all;
  client.leave("#general");
  Socket.last.bring({ type: "ack", ref: Socket.last.take().id });
  Socket.last.end(1006);
  clock.advance(1000);
  Socket.last.accept();
  assert.deepEqual([client.state.open, Socket.last.sent], [null, []]);
});

test("an error that answers nothing is a notice", () => {
  const { client, Socket } = inRoom();
  Socket.last.bring({ type: "error", code: "malformed_frame", detail: "not JSON", retryable: false });
  assert.equal(client.notice, "not JSON");
  client.dismiss();
  assert.equal(client.notice, null);
});

test("the end of the session is told once", () => {
  const { Socket, ended } = inRoom();
  Socket.last.end(3500);
  assert.equal(ended(), 1);
});
