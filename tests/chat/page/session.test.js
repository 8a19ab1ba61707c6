import assert from "node:assert/strict";
import { test } from "node:test";
import { LoginError, forget, keep, login, restore } from "../../../examples/chat/static/session.js";
import { FakeStorage } from "./fakes.js";

const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
const answer = (status, body, headers) => async () => new Response(JSON.stringify(body), { status, headers });

test("the form is that of OAuth2, and the token tells user and expiry", async () => {
  let sent;
  const access_token = token({ sub: "älice", exp: 1_800_000_000 });
  const session = await login("alice", "p&w", async (url, { method, body }) => {
    sent = [url, method, body.toString()];
    return new Response(JSON.stringify({ access_token }), { status: 200 });
  });
  assert.deepEqual(sent, ["token", "POST", "grant_type=password&username=alice&password=p%26w"]);
  assert.deepEqual(session, { user: "älice", token: access_token, expiresAt: 1_800_000_000_000 });
});

test("a token that cannot be read is a token all the same", async () => {
  const session = await login("alice", "x", answer(200, { access_token: "opaque" }));
  assert.deepEqual(session, { user: "alice", token: "opaque", expiresAt: null });
});

test("every failure says what to do", async () => {
  const cases = [
    [answer(401, {}), "This name and password do not match."],
    [answer(429, {}, { "Retry-After": "7" }), "Too many attempts. Try again in 7 s."],
    [answer(429, {}), "Too many attempts. Try again later."],
    [answer(500, {}), "The server could not log you in (status 500)."],
    [
      () => Promise.reject(new TypeError("fetch failed")),
      "The server cannot be reached. Try again in a moment.",
    ],
  ];
  for (const [fetch, text] of cases) {
    await assert.rejects(
      login("alice", "x", fetch),
      (error) => error instanceof LoginError && error.message === text,
    );
  }
});

test("a session lives in the storage until it is forgotten", () => {
  const storage = new FakeStorage();
  const session = { user: "alice", token: "t", expiresAt: null };
  keep(storage, session);
  assert.deepEqual(restore(storage), session);
  forget(storage);
  assert.equal(restore(storage), null);
});
