import assert from "node:assert/strict";
import { test } from "node:test";
import { advice, backoff, explain, reconnects } from "../../../examples/chat/static/reconnect.js";

test("the code alone decides whether to reconnect", () => {
  for (const code of [1001, 1006, 1012, 3000, 3001, 3005, 3010, 3499, 4000, 4499])
    assert.ok(reconnects(code), code);
  for (const code of [1000, 1002, 1005, 1007, 1009, 1011, 3500, 3504, 3509, 3999, 4500, 4999]) {
    assert.ok(!reconnects(code), code);
  }
});

test("the wait is spread over the whole of a range that doubles up to its cap", () => {
  const most = (attempt) => backoff(attempt, () => 1);
  assert.deepEqual([0, 1, 2, 3, 4, 5, 50].map(most), [1000, 2000, 4000, 8000, 16000, 20000, 20000]);
  assert.equal(
    backoff(3, () => 0),
    0,
  );
});

test("a closing server's advice is in seconds and bounded", () => {
  assert.equal(advice('{"reconnect_after":1.5}'), 1500);
  assert.equal(advice('{"reconnect_after":0}'), 0);
  assert.equal(advice('{"reconnect_after":86400}'), 60_000);
});

test("a reason that is no advice gives none", () => {
  for (const reason of [
    "",
    "shutdown",
    "null",
    "[]",
    '{"reconnect_after":-1}',
    '{"reconnect_after":"1"}',
    "{",
  ]) {
    assert.equal(advice(reason), null, reason);
  }
});

test("every final code has an explanation, unknown ones by number", () => {
  assert.equal(explain(3500), "Your session has ended. Log in again.");
  assert.equal(explain(4777), "The server closed the connection (code 4777).");
});
