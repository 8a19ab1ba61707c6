import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../../../examples/chat/static/connection.js";
import { FakeClock, fakeSockets } from "./fakes.js";

function connect(options = {}) {
  const clock = new FakeClock();
  const Socket = fakeSockets();
  const frames = [];
  const connection = new Connection({
    url: "ws://test/ws",
    token: "t.o.k",
    onframe: (frame) => frames.push(frame),
    onchange: () => {},
    Socket,
    clock,
    random: () => 0.5,
    ...options,
  });
  connection.open();
  return { connection, clock, Socket, frames };
}

test("the token goes by subprotocol", () => {
  const { Socket } = connect();
  assert.deepEqual(Socket.last.protocols, ["bearer", "t.o.k"]);
});

test("each request has an id of its own and is settled by its ref, once", () => {
  const { connection, Socket, frames } = connect();
  Socket.last.accept();
  const answers = [];
  connection.request({ type: "leave", room: "a" }, (answer) => answers.push(["first", answer.type]));
  connection.request({ type: "leave", room: "b" }, (answer) => answers.push(["second", answer.type]));
  const [first, second] = Socket.last.sent;
  assert.notEqual(first.id, second.id);
  Socket.last.bring({ type: "error", ref: second.id, code: "not_a_member" });
  Socket.last.bring({ type: "ack", ref: first.id });
  Socket.last.bring({ type: "ack", ref: first.id });
  assert.deepEqual(answers, [
    ["second", "error"],
    ["first", "ack"],
  ]);
  assert.equal(frames.length, 3);
});

test("ids are not used again on the next socket", () => {
  const { connection, Socket, clock } = connect();
  Socket.last.accept();
  connection.request({ type: "x" }, () => {});
  const { id } = Socket.last.take();
  Socket.last.end(1006);
  clock.advance(1000);
  Socket.last.accept();
  connection.request({ type: "x" }, () => {});
  assert.ok(Socket.last.take().id > id);
});

test("requests under way are lost with the connection, later ones at once", () => {
  const { connection, Socket } = connect();
  Socket.last.accept();
  const answers = [];
  connection.request({ type: "x" }, (answer) => answers.push(answer));
  Socket.last.end(1006);
  connection.request({ type: "x" }, (answer) => answers.push(answer));
  assert.deepEqual(answers, [null, null]);
});

test("what is not a message is passed over", () => {
  const { Socket, frames } = connect();
  Socket.last.accept();
  for (const text of ["", "{", "null", "[]", "1", "{}", '{"type":1}']) Socket.last.bring(text);
  assert.deepEqual(frames, []);
});

test("a connection that was never answered waits longer each time", () => {
  const { connection, Socket, clock } = connect();
  const waits = [];
  for (let attempt = 0; attempt < 4; attempt++) {
    Socket.last.accept();
    Socket.last.end(3001);
    waits.push(connection.link.retryAt - clock.now());
    clock.advance(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000]);
});

test("a word of the server ends the series of failures", () => {
  const { connection, Socket, clock } = connect();
  for (let attempt = 0; attempt < 3; attempt++) {
    Socket.last.end(1006);
    clock.advance(20_000);
  }
  assert.equal(connection.link.failures, 3);
  Socket.last.accept();
  Socket.last.bring({ type: "pong" });
  assert.equal(connection.link.failures, 0);
});

test("advice of the server is followed to the letter", () => {
  const { connection, Socket, clock } = connect();
  Socket.last.accept();
  Socket.last.end(3001, '{"reconnect_after":1.25}');
  clock.advance(1249);
  assert.equal(connection.link.phase, "waiting");
  clock.advance(1);
  assert.equal(connection.link.phase, "connecting");
});

test("a final code ends it, and only a person begins again", () => {
  const { connection, Socket, clock } = connect();
  Socket.last.accept();
  Socket.last.end(3504);
  clock.advance(600_000);
  assert.deepEqual([connection.link.phase, connection.link.code, Socket.opened.length], ["closed", 3504, 1]);
  connection.open();
  assert.equal(Socket.opened.length, 2);
});

test("after 3005 it tries once, and a refusal then is the end of the session", () => {
  const { connection, Socket, clock } = connect();
  Socket.last.accept();
  Socket.last.end(3005);
  clock.advance(1000);
  Socket.last.end(1006);
  assert.deepEqual([connection.link.phase, connection.link.code], ["closed", 3500]);
});

test("a refusal with a token past its time is the end of the session", () => {
  const { connection, Socket } = connect({ expired: () => true });
  Socket.last.end(1006);
  assert.deepEqual([connection.link.phase, connection.link.code], ["closed", 3500]);
});

test("a cut link with a token past its time is tried again", () => {
  const { connection, Socket } = connect({ expired: () => true });
  Socket.last.accept();
  Socket.last.end(1006);
  assert.equal(connection.link.phase, "waiting");
});

test("an idle connection asks for a sign of life, and lives on with it", () => {
  const { connection, Socket, clock } = connect();
  Socket.last.accept();
  clock.advance(24_999);
  assert.deepEqual(Socket.last.sent, []);
  clock.advance(1);
  const { type, id } = Socket.last.take();
  assert.equal(type, "ping");
  Socket.last.bring({ type: "pong", ref: id });
  clock.advance(24_999);
  assert.deepEqual([connection.link.phase, Socket.last.sent.length], ["open", 0]);
});

test("frames are signs of life too", () => {
  const { Socket, clock } = connect();
  Socket.last.accept();
  clock.advance(20_000);
  Socket.last.bring({ type: "message" });
  clock.advance(24_999);
  assert.deepEqual(Socket.last.sent, []);
  clock.advance(1);
  assert.equal(Socket.last.take().type, "ping");
});

test("a dead link is given up, and what it brings later is not heard", () => {
  const { connection, Socket, clock, frames } = connect();
  Socket.last.accept();
  clock.advance(35_000);
  const [dead] = Socket.opened;
  assert.deepEqual([connection.link.phase, connection.link.code], ["waiting", 1006]);
  clock.advance(1000);
  assert.equal(Socket.opened.length, 2);
  dead.bring({ type: "message" });
  dead.end(1006);
  assert.deepEqual([frames.length, connection.link.phase], [0, "connecting"]);
});

test("a nudge ends the wait of a lost connection and probes a living one", () => {
  const { connection, Socket } = connect();
  Socket.last.end(1006);
  connection.nudge();
  assert.equal(connection.link.phase, "connecting");
  Socket.last.accept();
  connection.nudge();
  connection.nudge();
  assert.deepEqual(
    Socket.last.sent.map(({ type }) => type),
    ["ping"],
  );
});

test("closing is final and leaves no timer", () => {
  const { connection, Socket, clock } = connect();
  Socket.last.accept();
  connection.close();
  assert.deepEqual([connection.link.phase, Socket.last.closedWith, clock.timers.size], ["closed", 1000, 0]);
});
