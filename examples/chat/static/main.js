/** The page: brings session, client and views together, and decides when to draw, when to save, and what has focus. */

import { Archive } from "./archive.js";
import { Client } from "./client.js";
import { INVALID_TOKEN, explain } from "./reconnect.js";
import { forget, keep, restore } from "./session.js";
import { BannerView } from "./views/banner.js";
import { ComposerView } from "./views/composer.js";
import { find } from "./views/element.js";
import { HeadingView } from "./views/heading.js";
import { LogView } from "./views/log.js";
import { LoginView } from "./views/login.js";
import { MembersView } from "./views/members.js";
import { SidebarView } from "./views/sidebar.js";

/** Milliseconds for which changes gather before they are saved. */
const SAVE_AFTER = 500;

/** Milliseconds between two looks at a countdown. */
const TICK = 250;

const url = new URL("ws", document.baseURI);
url.protocol = url.protocol.replace("http", "ws");

/** Someone without a pointer that hovers has a keyboard on the screen, which only a tap should bring up. */
const typing = matchMedia("(hover: hover)");

const archive = new Archive(sessionStorage);
const page = find("chat", HTMLElement);
const panels = [find("sidebar", HTMLElement), find("members", HTMLElement)];

class Page {
  /** @type {Client | null} */
  #client = null;
  /** @type {string | null} */
  #open = null;
  #drawing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #ticking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saving;

  #login = new LoginView((session) => this.start(session));
  #composer = new ComposerView({
    say: (text) => {
      this.#client?.say(text);
      this.#log.toEnd();
    },
    draft: (text) => this.#client?.draft(text),
  });
  #heading = new HeadingView((key) => this.#client?.leave(key));
  #log = new LogView({
    retry: (key) => this.#client?.retry(key),
    discard: (key) => {
      this.#client?.discard(key);
      this.#focus();
    },
    look: () => this.#schedule(),
  });
  #members = new MembersView((user) => this.#client?.converse(user));
  #sidebar = new SidebarView({
    open: (key) => {
      this.#client?.open(key);
      this.#focus();
    },
    join: async (room) => (await this.#client?.join(room)) ?? null,
    converse: (user) => this.#client?.converse(user),
    setStatus: (status) => this.#client?.setStatus(status),
    logout: () => this.#logout(),
  });
  #banner = new BannerView({
    connect: () => this.#client?.connect(),
    enter: (key) => this.#client?.enter(key),
    relogin: () => this.#end(""),
    dismiss: () => this.#client?.dismiss(),
    focus: () => this.#focus(),
  });

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#save();
      else this.#client?.nudge();
      this.#schedule();
    });
    addEventListener("online", () => this.#client?.nudge());
    addEventListener("pagehide", () => this.#save());
    // A drawer that is open while the window grows would stay above the column that it has become.
    matchMedia("(min-width: 45rem)").addEventListener("change", closePanels);
    matchMedia("(min-width: 68rem)").addEventListener("change", closePanels);
  }

  /** Asks who is there. */
  greet() {
    this.#login.show();
  }

  /** @param {import("./session.js").Session} session */
  start(session) {
    keep(sessionStorage, session);
    const client = new Client({
      session,
      url: url.href,
      state: archive.load(session.user),
      onchange: () => {
        this.#schedule();
        this.#saving ??= setTimeout(() => this.#save(), SAVE_AFTER);
      },
      onended: () => this.#end(explain(INVALID_TOKEN)),
    });
    this.#client = client;
    page.hidden = false;
    client.connect();
    this.#draw();
    this.#focus();
  }

  /**
   * Back to the login; what is here stays for the same person's return.
   * @param {string} reason
   */
  #end(reason) {
    const user = this.#client?.state.me;
    this.#stop();
    this.#login.show({ user, reason });
  }

  #logout() {
    this.#stop();
    archive.clear();
    this.#login.show();
  }

  #stop() {
    this.#client?.close();
    this.#save();
    this.#client = null;
    forget(sessionStorage);
    closePanels();
    page.hidden = true;
    document.title = "Chat";
  }

  /** A page in the background is given no frames, but its title still tells what is unread. */
  #schedule() {
    if (this.#drawing) return;
    this.#drawing = true;
    if (document.hidden) setTimeout(() => this.#draw(), TICK);
    else requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawing = false;
    const client = this.#client;
    if (!client) return;
    const { state, link, waits } = client;
    this.#sidebar.render(state, link);
    this.#heading.render(state);
    this.#members.render(state);
    this.#banner.render(client);
    this.#composer.render(client);
    this.#log.render(client);
    if (state.open !== this.#open) {
      this.#open = state.open;
      this.#focus();
    }
    client.read(!document.hidden && this.#log.atEnd);
    const counting = link.retryAt !== null || Object.values(waits).some((until) => until !== null);
    clearTimeout(this.#ticking);
    if (counting) this.#ticking = setTimeout(() => this.#schedule(), TICK);
  }

  #focus() {
    closePanels();
    if (typing.matches && this.#open !== null) this.#composer.focus();
    else this.#heading.focus();
  }

  #save() {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    if (this.#client) archive.save(this.#client.state);
  }
}

function closePanels() {
  for (const panel of panels) panel.hidePopover();
}

const session = restore(sessionStorage);
const chat = new Page();
if (session) chat.start(session);
else chat.greet();
