// The link of a live view: the newest ticks, and the older ones that were asked for.

import { Link } from "../shared/link.js";
import { Ring, readFrame } from "./ring.js";

const BROWSER_ROWS = 20000;
const WINDOW_MS = 500;

export class LiveLink extends Link {
  constructor(model) {
    super(model);
    this.ring = this.archive = null;
    this.windowAsked = -Infinity;
    // In a page the host's own `height` would fix the box; there the view has a trait of its own for it.
    this.heightName = model.get("canvas_height") === undefined ? "height" : "canvas_height";
    this.hear("target", (target) => target && this.tell("jumpTo", target));
    this.hear("toolbar", () => this.tell("restyle"));
    this.hear(this.heightName, () => this.tell("restyle"));
    this.listen();
  }

  get height() {
    return this.model.get(this.heightName) || 640;
  }

  renew(meta) {
    const columns = JSON.stringify(meta.columns ?? null);
    const again = columns !== this.columnsText || this.timed !== Boolean(meta.has_times);
    if (!again || !meta.columns) return false;
    this.columnsText = columns;
    this.timed = Boolean(meta.has_times);
    this.ring = new Ring(meta.columns, BROWSER_ROWS);
    this.archive = null;
    return true;
  }

  take(data) {
    const frame = readFrame(data);
    if (!frame || !this.ring) return null;
    if (!frame.live) {
      this.takeOlder(frame);
      return null;
    }
    if (frame.reset) this.archive = null;
    else if (!this.frames) return null; // what was under way before this page said hello
    this.ring.append(frame, this.timed);
    return frame;
  }

  takeOlder(frame) {
    const room = this.archive?.capacity ?? 10000;
    if (!this.archive || frame.count > room) this.archive = new Ring(this.meta.columns, Math.max(frame.count, room));
    this.archive.append(frame, this.timed);
    this.windowAsked = -Infinity;
    this.tell("olderTicks");
  }

  /** Ask for older ticks; one question at a time, and what is wanted by then is asked again if no answer comes. */
  askWindow(first) {
    const now = performance.now();
    if (now - this.windowAsked < WINDOW_MS) return;
    this.windowAsked = now;
    clearTimeout(this.askAgain);
    this.askAgain = setTimeout(() => this.tell("olderTicks"), WINDOW_MS + 50);
    this.say("window", { first: Math.max(0, Math.floor(first)) });
  }
}
