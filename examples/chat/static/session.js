/**
 * Who is logged in: the exchange of name and password for a token, and its keeping for the life of this tab.
 *
 * @typedef {{user: string, token: string, expiresAt: number | null}} Session `expiresAt` in milliseconds since the epoch.
 */

const KEY = "chat:session";

/** Why there is no session, in words for the person who tries. */
export class LoginError extends Error {}

/**
 * Logs in by the OAuth2 password form.
 * @param {string} username
 * @param {string} password
 * @param {typeof globalThis.fetch} [fetch]
 * @returns {Promise<Session>}
 * @throws {LoginError}
 */
export async function login(username, password, fetch = globalThis.fetch) {
  let response;
  try {
    response = await fetch("token", {
      method: "POST",
      body: new URLSearchParams({ grant_type: "password", username, password }),
    });
  } catch {
    throw new LoginError("The server cannot be reached. Try again in a moment.");
  }
  if (response.status === 400 || response.status === 401)
    throw new LoginError("This name and password do not match.");
  if (response.status === 429) throw new LoginError(tooMany(response.headers.get("Retry-After")));
  if (!response.ok) throw new LoginError(`The server could not log you in (status ${response.status}).`);
  const { access_token: token } = await response.json();
  return { user: username, expiresAt: null, ...claims(token), token };
}

/** @param {string | null} wait */
function tooMany(wait) {
  return `Too many attempts. Try again ${wait && /^\d+$/.test(wait) ? `in ${wait} s` : "later"}.`;
}

/**
 * What a JSON Web Token says of its owner. It is read, not verified: that is the server's part.
 * @param {string} token
 * @returns {Partial<Session>}
 */
function claims(token) {
  try {
    const encoded = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const { sub, exp } = JSON.parse(new TextDecoder().decode(bytes));
    return {
      ...(typeof sub === "string" && { user: sub }),
      ...(Number.isFinite(exp) && { expiresAt: exp * 1000 }),
    };
  } catch {
    return {};
  }
}

/**
 * @param {Storage} storage
 * @returns {Session | null}
 */
export function restore(storage) {
  return JSON.parse(storage.getItem(KEY) ?? "null");
}

/**
 * @param {Storage} storage
 * @param {Session} session
 */
export function keep(storage, session) {
  storage.setItem(KEY, JSON.stringify(session));
}

/** @param {Storage} storage */
export function forget(storage) {
  storage.removeItem(KEY);
}
