/** A clock that is moved by hand, and a socket whose other end is the test. */

export class FakeClock {
  time = 1_000_000;
  timers = new Set();

  now = () => this.time;

  after = (ms, callback) => {
    const timer = { at: this.time + ms, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
      if (!next) break;
      this.timers.delete(next);
      this.time = next.at;
      next.callback();
    }
    this.time = end;
  }
}

/** The class of the sockets that one test opens, newest last. */
export function fakeSockets() {
  return class FakeSocket {
    static opened = [];

    /** What the page has sent and the test has not taken. */
    sent = [];
    closedWith = null;

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      FakeSocket.opened.push(this);
    }

    static get last() {
      return FakeSocket.opened.at(-1);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code) {
      this.closedWith = code;
    }

    accept() {
      this.onopen();
    }

    bring(frame) {
      this.onmessage({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
    }

    end(code, reason = "") {
      this.onclose({ code, reason });
    }

    /** Takes the next frame that the page sent. */
    take() {
      return this.sent.shift();
    }
  };
}

/** What `sessionStorage` is to the modules, with a bound on its size. */
export class FakeStorage {
  constructor(quota = Infinity) {
    Object.defineProperty(this, "quota", { value: quota, enumerable: false });
  }

  getItem(key) {
    return Object.hasOwn(this, key) ? this[key] : null;
  }

  setItem(key, value) {
    if (value.length > this.quota) throw new DOMException("full", "QuotaExceededError");
    this[key] = value;
  }

  removeItem(key) {
    delete this[key];
  }
}
