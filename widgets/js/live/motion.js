// Which stretch of time is shown, and how pointer and keys move it and the crosshair.

import { leastRoom, reachOf } from "./fan.js";

const LEAST_TICKS = 8;
const AHEAD_PX = 22;

/** The stretch of the axis that is shown: following the newest tick, or standing still. */
export class Stretch {
  constructor(view) {
    this.view = view;
    this.follow = true;
    this.rows = null;
    this.x0 = 0;
    this.x1 = 1;
    this.wanted = null;
  }

  /** Bring x0 and x1 up to date; called before every drawing. */
  settle(width) {
    const { ring } = this.view.link;
    if (!ring.count) return;
    if (!this.follow) {
      this.reach();
      return;
    }
    const shown = this.rows ?? this.view.mostRows;
    const newest = ring.xAt(ring.high - 1);
    this.x0 = ring.xAt(Math.max(ring.low, ring.high - shown));
    const span = Math.max(newest - this.x0, ring.interval());
    const { reach, least } = this.ahead(width);
    this.x1 = newest + Math.max(Math.min(reach, span), (least / Math.max(width - least, 50)) * span);
  }

  /** Room beyond the newest tick: as long as the longest horizon, but half of the width at most, and `least` pixels. */
  ahead(width) {
    const { ring, meta } = this.view.link;
    return { reach: ring.interval() * reachOf(meta), least: Math.max(AHEAD_PX, leastRoom(meta, width) + 2) };
  }

  /** Older ticks than the browser keeps are asked for, and what was wanted is shown once they are there. */
  reach() {
    const { link } = this.view;
    const { ring } = link;
    const store = this.view.store;
    if (this.wanted !== null) {
      const holder = [ring, link.archive].find((one) => one?.count && this.wanted >= one.low && one.high > this.wanted);
      if (holder) this.centre(holder, this.wanted);
      else link.askWindow(this.wanted - this.view.mostRows / 2);
      return;
    }
    if (store.low > 0 && store.count && this.x0 < store.xAt(store.low)) {
      const missing = (store.xAt(store.low) - this.x0) / store.interval();
      link.askWindow(Math.max(0, store.low - missing - this.view.mostRows / 2));
    }
  }

  centre(store, tick) {
    const half = (this.x1 - this.x0) / 2;
    const x = store.xAt(tick);
    const least = store.xAt(store.low);
    this.x0 = Math.max(least, x - half);
    this.x1 = this.x0 + 2 * half;
    this.wanted = null;
  }

  jump(tick) {
    const { ring } = this.view.link;
    if (!ring.count) return;
    this.leave();
    const most = this.view.mostRows;
    const shown = this.view.sample ? this.view.sample.count : most;
    if (shown > 600 && ring.count > 600) {
      const width = ring.interval() * 400;
      const middle = (this.x0 + this.x1) / 2;
      [this.x0, this.x1] = [middle - width / 2, middle + width / 2];
    }
    this.wanted = Math.max(0, Math.min(tick, ring.high - 1));
    this.reach();
  }

  leave() {
    this.follow = false;
    this.view.followChanged();
  }

  reset() {
    this.rows = null;
    this.wanted = null;
    this.follow = true;
    this.view.followChanged();
  }

  resume() {
    const { sample } = this.view;
    if (!this.follow && sample?.count) this.rows = Math.max(LEAST_TICKS, sample.count - 2);
    this.wanted = null;
    this.follow = true;
    this.view.followChanged();
  }

  zoom(factor, x) {
    const { ring } = this.view.link;
    const store = this.view.store;
    if (!store.count) return;
    const newest = ring.xAt(ring.high - 1);
    if (this.follow && x > newest - 0.2 * (newest - this.x0)) {
      const now = Math.min(this.rows ?? this.view.mostRows, ring.count);
      const next = Math.max(LEAST_TICKS, Math.round(now * factor));
      this.rows = next >= Math.min(ring.count, this.view.mostRows) ? null : next;
      return;
    }
    const least = LEAST_TICKS * store.interval();
    const whole = Math.max(least, store.xAt(store.high - 1) - store.xAt(store.low));
    const most = whole + this.roomIn(whole);
    const span = Math.max(least, Math.min(most, (this.x1 - this.x0) * factor));
    const share = (x - this.x0) / (this.x1 - this.x0);
    if (this.follow) this.leave();
    this.x0 = x - share * span;
    this.x1 = this.x0 + span;
    this.bound();
  }

  between(x0, x1) {
    const least = LEAST_TICKS * this.view.store.interval();
    if (x1 - x0 < least) return;
    this.leave();
    [this.x0, this.x1] = [x0, x1];
  }

  pan(by) {
    if (this.follow) this.leave();
    this.wanted = null;
    this.x0 += by;
    this.x1 += by;
    this.bound();
  }

  /** Of a stretch so long, what may lie beyond the newest tick. */
  roomIn(span) {
    const { width } = this.view.sample;
    const { reach, least } = this.ahead(width);
    return Math.max(Math.min(reach, span / 2), (least / width) * span);
  }

  /** Not past the newest tick nor before the first. */
  bound() {
    const { ring } = this.view.link;
    const store = this.view.store;
    const span = this.x1 - this.x0;
    const end = ring.xAt(ring.high - 1) + this.roomIn(span);
    if (this.x1 > end) [this.x0, this.x1] = [end - span, end];
    const start = store.xAt(store.low);
    if (store.low === 0 && this.x0 < start) [this.x0, this.x1] = [start, start + span];
  }
}

/** Pointer and wheel over the plots. */
export function listenPointer(view) {
  const { stage } = view;
  const down = new Map();
  let drag = null;
  const where = (event) => {
    const box = stage.getBoundingClientRect();
    return { px: event.clientX - box.left, py: event.clientY - box.top };
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    view.root.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, where(event));
    const at = where(event);
    drag = { ...at, began: at.px, moved: false, brush: event.shiftKey, overview: view.inOverview(at.py) };
    if (drag.overview) view.scrubTo(at.px);
  });
  stage.addEventListener("pointermove", (event) => {
    const at = where(event);
    if (down.size === 2) return pinch(event, at);
    if (drag) {
      drag.moved ||= Math.abs(at.px - drag.began) > 4;
      if (drag.overview) view.scrubTo(at.px);
      else if (drag.brush) view.brush(drag.began, at.px);
      else if (drag.moved) view.stretch.pan(-(at.px - drag.px) / view.scaleX);
      drag.px = at.px;
      down.set(event.pointerId, at);
    }
    view.pointAt(event.pointerType === "touch" && drag?.moved ? null : at.px);
    view.redraw();
  });
  const pinch = (event, at) => {
    const other = [...down].find(([id]) => id !== event.pointerId)[1];
    const before = down.get(event.pointerId);
    const [was, is] = [Math.abs(before.px - other.px), Math.abs(at.px - other.px)];
    if (was > 8 && is > 8) view.stretch.zoom(was / is, view.xAtPixel((at.px + other.px) / 2));
    down.set(event.pointerId, at);
    if (drag) drag.moved = true;
    view.redraw();
  };
  const up = (event) => {
    const at = down.get(event.pointerId);
    down.delete(event.pointerId);
    if (!drag || down.size) return;
    if (drag.brush && drag.moved) view.endBrush();
    else if (!drag.moved && !drag.overview && event.type === "pointerup") view.togglePin(at?.px ?? drag.px);
    else if (drag.moved && view.showsNewest && !view.stretch.follow) view.followIfAtEnd();
    drag = null;
    view.redraw();
  };
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  stage.addEventListener("pointerleave", () => {
    view.pointAt(null);
    view.redraw();
  });
  stage.addEventListener("dblclick", () => {
    view.unpin();
    view.stretch.reset();
    view.redraw();
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && view.root.getRootNode().activeElement !== view.root) return;
    event.preventDefault();
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const by = (sideways && event.deltaX ? event.deltaX : event.deltaY) * (event.deltaMode === 1 ? 16 : 1);
    if (sideways) view.stretch.pan(by / view.scaleX);
    else view.stretch.zoom(Math.exp(Math.max(-1, Math.min(1, by / 300))), view.xAtPixel(where(event).px));
    view.redraw();
  }, { passive: false });
}

/** Keys, while the view or something in it has the focus. */
export function listenKeys(view) {
  const { root } = view;
  const keys = {
    ArrowRight: (event) => view.move(event.shiftKey ? 10 : 1),
    ArrowLeft: (event) => view.move(event.shiftKey ? -10 : -1),
    Home: () => view.moveTo(0),
    End: () => view.toNewest(),
    "+": () => view.act.faster(),
    "=": () => view.act.faster(),
    "-": () => view.act.slower(),
    e: () => view.act.export(),
    s: () => view.link.command("snapshot"),
    p: () => view.act.picture(),
    f: () => view.act.follow(),
    0: () => {
      view.unpin();
      view.stretch.reset();
    },
    "?": () => view.help.toggle(),
    " ": () => view.act.toggle(),
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation();
    if (event.key === "Escape") {
      if (view.help.open) view.help.toggle(false);
      else view.unpin();
      view.redraw();
      return;
    }
    if (view.help.open && event.key !== "?") return;
    const onButton = event.target.closest?.("button");
    if (onButton && (event.key === " " || event.key === "Enter")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = keys[key];
    if (!action) return;
    event.preventDefault();
    action(event);
    view.redraw();
  });
}
