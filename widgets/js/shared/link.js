// The link to Python, one per widget and shared by all its displays: takes frames in, acknowledges them once they are
// drawn, sends commands, notices when nobody answers.  Python's half is widgets/link.py.

import { watchLook } from "./theme.js";

const GREET_MS = 3000;
const QUIET_MS = 6000;
const GONE_MS = 10000;
const MOST_DELAYS = 2000;
const MOST_COMMANDS = 8;

/** The numbers of a frame, float64 in a buffer or a view into one; null where there are fewer than `least`. */
export function numbersOf(data, least) {
  if (!data || data.byteLength < 8 * least) return null;
  const [buffer, start] = [data.buffer || data, data.byteOffset || 0];
  const aligned = start % 8 === 0;
  return aligned
    ? new Float64Array(buffer, start, Math.floor(data.byteLength / 8))
    : new Float64Array(buffer.slice(start, start + data.byteLength));
}

/**
 * What every link does.  A kind of link adds `renew(meta)`: begin anew where the meta says so, and return whether it
 * does; and `take(data)`: take a frame in and return its `{ seq, reset, sent }`, "gap" where something before it is
 * missing, null where there is nothing to acknowledge.  Its constructor ends with `listen()`.
 *
 * A view has what it wants of: newTicks(reset), newMeta(), newStatus(status), restyle(), connection(there).
 */
export class Link {
  constructor(model) {
    this.model = model;
    this.views = new Set();
    this.client = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
    this.ids = this.frames = this.received = this.pinged = 0;
    this.recent = [];
    this.undrawn = [];
    this.delays = [];
    this.stamps = [];
    this.heard = performance.now();
    this.gone = false;
  }

  listen() {
    this.hear("frame", (data) => this.frame(data));
    this.hear("status", (status) => this.tell("newStatus", (this.status = status || {})));
    this.hear("meta", (meta) => this.newMeta(meta || {}));
    this.hear("theme", () => this.tell("restyle"));
    this.status = this.model.get("status") || {};
    this.newMeta(this.model.get("meta") || {});
  }

  hear(name, take) {
    this.model.on(`change:${name}`, () => {
      this.heard = performance.now();
      take(this.model.get(name));
    });
  }

  tell(name, value) {
    for (const view of this.views) view[name]?.(value);
  }

  newMeta(meta) {
    this.meta = meta;
    if (this.renew(meta)) {
      this.frames = 0;
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

  // -- to Python --------------------------------------------------------------------------------------------------

  /** Ask for everything; what was commanded before belongs to a talk that is over. */
  hello() {
    this.recent = [];
    this.undrawn.length = 0;
    this.helloAt = performance.now();
    this.say("hello", { client: this.client });
  }

  /** Commands travel with the ones before them, because a host may merge two that follow at once. */
  command(name, value = null) {
    const command = { name, value, id: ++this.ids };
    this.recent = [...this.recent, command].slice(-MOST_COMMANDS);
    this.send("command", { ...command, client: this.client, recent: this.recent });
  }

  /** A number makes each message new, so that the host passes it on. */
  say(name, fields) {
    this.send(name, { ...fields, id: ++this.ids });
  }

  send(name, value) {
    try {
      this.model.set(name, value);
      this.model.save_changes();
    } catch (error) {
      if (!this.gone) console.warn("uspnb: the connection did not take a message", error);
    }
  }

  // -- from Python ------------------------------------------------------------------------------------------------

  /** Without a display nothing is taken in: the next one says hello and is sent everything. */
  frame(data) {
    if (!data || !this.views.size) return;
    const taken = this.take(data);
    if (taken === "gap") this.hello();
    if (!taken || taken === "gap") return;
    this.frames++;
    this.received = taken.seq;
    this.undrawn.push(taken.sent);
    // A hidden page does not draw; it takes the ticks in all the same, so that nothing is missing when it is shown.
    if (document.hidden) setTimeout(() => this.drawn(), 0);
    else this.tell("newTicks", taken.reset);
  }

  /** What has come so far is on the screen. */
  drawn() {
    if (!this.undrawn.length) return;
    const now = performance.timeOrigin + performance.now();
    for (const sent of this.undrawn) this.delays.push(now - sent);
    this.stamps.push(now);
    this.undrawn.length = 0;
    for (const times of [this.delays, this.stamps]) {
      if (times.length > 2 * MOST_DELAYS) times.splice(0, times.length - MOST_DELAYS);
    }
    this.send("acknowledged", this.received);
  }

  /** Once a second: is anybody there?  Asked only for a view that shows it. */
  watch() {
    const now = performance.now();
    // A greeting can be lost while the host is still putting a reloaded page together.
    if (!this.frames && now - this.helloAt > GREET_MS) this.hello();
    if (![...this.views].some((view) => view.connection)) return;
    if (QUIET_MS > now - this.heard) {
      this.pinged = 0;
      if (this.gone) {
        this.gone = false;
        this.hello();
        this.tell("connection", true);
      }
      return;
    }
    if (!this.pinged || now - this.pinged > QUIET_MS) {
      this.firstPinged = this.pinged ? this.firstPinged : now;
      this.pinged = now;
      this.command("ping");
    }
    if (!this.gone && now - this.firstPinged > GONE_MS - QUIET_MS) {
      this.gone = true;
      this.tell("connection", false);
    }
  }
}

/**
 * The module of a widget: `initialize` runs once for each widget, `render` once for each display.  A display has `root`,
 * perhaps a `stage` whose size it follows, `restyle()` and `resized()`, and perhaps `destroy()`.
 */
export function widgetOf(LinkOf, ViewOf) {
  return () => {
    let link = null;
    const linked = (model) => (link ??= new LinkOf(model));
    return {
      initialize({ model }) {
        linked(model);
      },
      render({ model, el }) {
        const view = new ViewOf(linked(model), el);
        view.root.uspnb = { delays: link.delays, stamps: link.stamps, link, view };
        const unwatch = watchLook(view, view.stage ?? view.root);
        link.attach(view);
        return () => {
          unwatch();
          link.detach(view);
          cancelAnimationFrame(view.drawing);
          view.destroy?.();
          view.root.remove();
        };
      },
    };
  };
}
