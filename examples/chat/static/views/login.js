/** The form that asks who you are. */

import { LoginError, login } from "../session.js";
import { find, write } from "./element.js";

export class LoginView {
  #root = find("login", HTMLElement);
  #form = find("login-form", HTMLFormElement);
  #error = find("login-error", HTMLElement);
  #username = find("username", HTMLInputElement);
  #password = find("password", HTMLInputElement);

  /** @param {(session: import("../session.js").Session) => void} onlogin */
  constructor(onlogin) {
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = /** @type {HTMLButtonElement} */ (event.submitter);
      button.disabled = true;
      try {
        const session = await login(this.#username.value, this.#password.value);
        this.hide();
        onlogin(session);
      } catch (error) {
        if (!(error instanceof LoginError)) throw error;
        this.#fail(error.message);
      } finally {
        button.disabled = false;
      }
    });
  }

  /**
   * @param {{user?: string, reason?: string}} [why] Who was logged in until now, and why no longer.
   */
  show({ user = "", reason = "" } = {}) {
    this.#root.hidden = false;
    if (user) this.#username.value = user;
    write(this.#error, reason);
    (user ? this.#password : this.#username).focus();
  }

  hide() {
    this.#root.hidden = true;
    this.#password.value = "";
  }

  /** @param {string} reason */
  #fail(reason) {
    write(this.#error, reason);
    this.#password.select();
  }
}
