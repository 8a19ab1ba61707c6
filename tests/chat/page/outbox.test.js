import assert from "node:assert/strict";
import { test } from "node:test";
import * as outbox from "../../../examples/chat/static/outbox.js";

const entry = (key, changes = {}) => ({
  ...outbox.entry({ key, to: "#a", lane: "message", text: key, at: "2026-01-01T00:00:00Z" }),
  ...changes,
});

test("one entry of a lane is under way at a time, in the order of writing", () => {
  const entries = [entry("1"), entry("2")];
  assert.equal(outbox.next(entries, "message", () => true).key, "1");
  const sending = outbox.change(entries, "1", () => outbox.sending(5));
  assert.equal(
    outbox.next(sending, "message", () => true),
    null,
  );
  assert.equal(
    outbox.next(sending, "private", () => true),
    null,
  );
});

test("a room that is not ready does not hold the others up", () => {
  const entries = [entry("1"), entry("2", { to: "#b" })];
  assert.equal(outbox.next(entries, "message", (to) => to === "#b").key, "2");
});

test("what failed or is unsure waits for a person", () => {
  const entries = [entry("1", { state: "failed" }), entry("2", { state: "unsure" })];
  assert.equal(
    outbox.next(entries, "message", () => true),
    null,
  );
});

test("a lost room message is repeated under its key, a lost private one is for a person to decide", () => {
  const lost = (lane) => outbox.doubted(entry("1", { lane, state: "sending", sentAt: 7 }));
  assert.deepEqual(lost("message"), { state: "queued", doubtSince: 7, attempts: 1 });
  assert.deepEqual(lost("private"), { state: "unsure", doubtSince: 7, attempts: 1 });
});

test("doubt counts from the first attempt whose outcome is unknown", () => {
  const twice = entry("1", { state: "sending", sentAt: 90, doubtSince: 7 });
  assert.equal(outbox.doubted(twice).doubtSince, 7);
});

test("a repeat is safe only while the server surely remembers the key", () => {
  const entries = [entry("1", { doubtSince: 0 }), entry("2")];
  assert.equal(outbox.expire(entries, 99_999), entries);
  assert.deepEqual(
    outbox.expire(entries, 100_000).map(({ state }) => state),
    ["unsure", "queued"],
  );
});

test("a person's retry starts anew", () => {
  const unsure = entry("1", { state: "unsure", doubtSince: 0, attempts: 3 });
  const [again] = outbox.change([unsure], "1", outbox.retried);
  assert.equal(outbox.expire([again], 500_000)[0].state, "queued");
  assert.equal(again.key, "1");
});

test("what was under way when the page went has an unknown outcome", () => {
  const [revived] = outbox.revive([entry("1", { state: "sending", sentAt: 3 })]);
  assert.deepEqual([revived.state, revived.doubtSince], ["queued", 3]);
});
