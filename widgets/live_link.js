// ---------------------------------------------------------------------------------------------------------------
// The link to Python, one per widget and shared by all its displays: takes frames in, acknowledges them once they are
// drawn, sends commands, notices when nobody answers.
// ---------------------------------------------------------------------------------------------------------------

const BROWSER_ROWS = 20000;
const QUIET_MS = 6000;
const GREET_MS = 3000;
const GONE_MS = 10000;
const DELAYS_KEPT = 2000;
const WINDOW_MS = 500;

class Link {
  constructor(model) {
    this.model = model;
    this.views = new Set();
    this.client = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
    this.ids = 0;
    this.recent = [];
    this.meta = model.get("meta") || {};
    this.status = model.get("status") || {};
    this.ring = this.archive = null;
    this.received = 0;
    this.undrawn = [];
    this.delays = [];
    this.stamps = [];
    this.frames = 0;
    this.heard = performance.now();
    this.asked = 0;
    this.gone = false;
    this.windowAsked = -Infinity;
    const heard = (name, take) => model.on(`change:${name}`, () => {
      this.heard = performance.now();
      take(model.get(name));
    });
    heard("frame", (data) => this.frame(data));
    heard("status", (status) => this.tell("status", (this.status = status || {})));
    heard("meta", (meta) => this.newMeta(meta || {}));
    heard("target", (target) => target && this.tell("jumpTo", target));
    heard("theme", () => this.tell("restyle"));
    heard("toolbar", () => this.tell("restyle"));
    heard(this.heightName, () => this.tell("restyle"));
    this.newMeta(this.meta);
  }

  /** In a page the host's own `height` would fix the box; there the view has a trait of its own for it. */
  get heightName() {
    return this.model.get("canvas_height") === undefined ? "height" : "canvas_height";
  }

  get height() {
    return this.model.get(this.heightName) || 640;
  }

  tell(name, value) {
    for (const view of this.views) view[name]?.(value);
  }

  newMeta(meta) {
    const columns = JSON.stringify(meta.columns ?? null);
    const again = columns !== this.columnsText || this.timed !== Boolean(meta.has_times);
    this.meta = meta;
    if (again && meta.columns) {
      this.columnsText = columns;
      this.timed = Boolean(meta.has_times);
      this.ring = new Ring(meta.columns, BROWSER_ROWS);
      this.archive = null;
      if (this.views.size) this.hello();
    }
    this.tell("newMeta");
  }

  attach(view) {
    this.views.add(view);
    if (this.views.size === 1) {
      this.hello();
      this.timer = setInterval(() => this.watch(), 1000);
    }
  }

  detach(view) {
    this.views.delete(view);
    if (!this.views.size) clearInterval(this.timer);
  }

  hello() {
    this.undrawn.length = 0;
    this.helloAt = performance.now();
    this.send("hello", { client: this.client, id: ++this.ids });
  }

  send(name, value) {
    try {
      this.model.set(name, value);
      this.model.save_changes();
    } catch (error) {
      if (!this.gone) console.warn("uspnb: the connection did not take a message", error);
    }
  }

  /** Commands travel with the ones before them, because a host may merge two that follow at once. */
  command(name, value = null) {
    const command = { name, value, id: ++this.ids };
    this.recent = [...this.recent.slice(-7), command];
    this.send("command", { ...command, client: this.client, recent: this.recent });
  }

  /** Ask for older ticks; one question at a time, and what is wanted by then is asked again if no answer comes. */
  askWindow(first) {
    const now = performance.now();
    if (now - this.windowAsked < WINDOW_MS) return;
    this.windowAsked = now;
    clearTimeout(this.askAgain);
    this.askAgain = setTimeout(() => this.tell("olderTicks"), WINDOW_MS + 50);
    this.send("window", { first: Math.max(0, Math.floor(first)), id: ++this.ids });
  }

  frame(data) {
    const frame = readFrame(data);
    if (!frame || !this.ring) return;
    if (!frame.live) {
      this.archive ??= new Ring(this.meta.columns, Math.max(frame.count, 10000));
      if (frame.count > this.archive.capacity) this.archive = new Ring(this.meta.columns, frame.count);
      this.archive.append(frame, this.timed);
      this.windowAsked = -Infinity;
      this.tell("olderTicks");
      return;
    }
    if (frame.reset) this.archive = null;
    else if (!this.frames) return; // what was under way before this page said hello
    this.ring.append(frame, this.timed);
    this.latest = frame.latest;
    this.frames++;
    this.received = frame.seq;
    this.undrawn.push(frame.sent);
    // A hidden page does not draw; it takes the ticks in all the same, so that nothing is missing when it is shown.
    if (document.hidden || !this.views.size) setTimeout(() => this.drawn(), 0);
    else this.tell("newTicks", frame.reset);
  }

  /** The ticks received so far are on the screen. */
  drawn() {
    if (!this.undrawn.length) return;
    const now = performance.timeOrigin + performance.now();
    for (const sent of this.undrawn) this.delays.push(now - sent);
    this.stamps.push(now);
    this.undrawn.length = 0;
    if (this.delays.length > 2 * DELAYS_KEPT) this.delays.splice(0, this.delays.length - DELAYS_KEPT);
    if (this.stamps.length > 2 * DELAYS_KEPT) this.stamps.splice(0, this.stamps.length - DELAYS_KEPT);
    this.send("acknowledged", this.received);
  }

  /** Once a second: is anybody there? */
  watch() {
    const now = performance.now();
    const quiet = now - this.heard;
    // A greeting can be lost while the host is still putting a reloaded page together.
    if (!this.frames && now - this.helloAt > GREET_MS) this.hello();
    if (QUIET_MS > quiet) {
      this.asked = 0;
      if (this.gone) {
        this.gone = false;
        this.hello();
        this.tell("connection", true);
      }
      return;
    }
    if (!this.asked || now - this.asked > QUIET_MS) {
      this.firstAsked = this.asked ? this.firstAsked : now;
      this.asked = now;
      this.command("ping");
    }
    if (!this.gone && now - this.firstAsked > GONE_MS - QUIET_MS) {
      this.gone = true;
      this.tell("connection", false);
    }
  }
}
