// One display: two canvases (plots; crosshair and readings over them) redrawn by animation frame, and what is round
// them.

import { nextSpeed, node, put, saveAs } from "../shared/elements.js";
import { widgetOf } from "../shared/link.js";
import { ValueRange } from "../shared/scale.js";
import { THEMES, themeOf } from "../shared/theme.js";
import { LiveLink } from "./link.js";
import { Stretch, listenKeys, listenPointer } from "./motion.js";
import { drawOver, drawPlots } from "./paint.js";
import { PANELS } from "./panels.js";
import { Help, SPEEDS, Toolbar } from "./toolbar.js";
import { summaryOf } from "./words.js";

const NARROW = 640;
const SUMMARY_MS = 5000;
const READINGS_MS = 100;

class View {
  constructor(link, el) {
    this.link = link;
    this.stretch = new Stretch(this);
    this.ranges = Object.fromEntries(PANELS.map(({ key }) => [key, new ValueRange(key === "charts" ? 0.4 : 0.55)]));
    this.widths = new Map();
    this.measures = new Map();
    this.gutter = 48;
    this.pointer = this.pinned = this.brushed = null;
    this.stale = { plots: true, over: true };
    this.states = 0;
    this.summaryAt = this.overAt = 0;
    this.build(el);
    this.restyle();
    listenPointer(this);
    listenKeys(this);
    this.newStatus(link.status);
    this.connection(!link.gone);
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build(el) {
    const { link } = this;
    this.act = {
      toggle: () => link.command("toggle"),
      step: () => link.command("step", 1),
      slower: () => this.changeSpeed(false),
      faster: () => this.changeSpeed(true),
      follow: () => (this.stretch.follow ? this.stretch.leave() : this.toNewest()),
      picture: () => this.savePicture(),
      export: () => link.command("export"),
      help: () => this.help.toggle(),
    };
    for (const [name, action] of Object.entries(this.act)) {
      this.act[name] = () => {
        action();
        this.redraw();
      };
    }
    this.toolbar = new Toolbar(this.act);
    const charts = `Four charts on one time axis: ${PANELS.map((p) => p.describe).join("; ")}.`;
    this.plots = node("canvas", "uspnb-plots", { role: "img", "aria-label": charts });
    this.over = node("canvas", "uspnb-over", { "aria-hidden": "true" });
    this.stage = node("div", "uspnb-stage", {}, [this.plots, this.over]);
    this.readings = node("div", "uspnb-readings");
    this.reason = node("p", "uspnb-reason");
    this.banner = node("div", "uspnb-banner", { role: "alert" });
    this.notice = node("div", "uspnb-notice", { role: "status" });
    this.spoken = node("div", "uspnb-spoken", { "aria-live": "polite" });
    this.banner.hidden = this.notice.hidden = true;
    this.root = node("div", "uspnb-live", { tabindex: "0", role: "application", "data-lm-suppress-shortcuts": "true" });
    this.help = new Help(this.root);
    this.root.append(
      this.toolbar.element, this.banner, this.stage, this.readings, this.reason, this.notice, this.help.element, this.spoken,
    );
    this.root.setAttribute("aria-roledescription", "live chart");
    el.append(this.root);
  }

  get meta() {
    return this.link.meta;
  }

  get mostRows() {
    return this.meta.rows || 10000;
  }

  /** The older ticks where the stretch shown begins before those that the browser keeps, else the newest. */
  get store() {
    const { ring, archive } = this.link;
    if (!archive?.count || this.stretch.follow || !ring.count) return ring;
    return this.stretch.x0 < ring.xAt(ring.low) && ring.low > 0 ? archive : ring;
  }

  get showsNewest() {
    const { ring } = this.link;
    return this.store === ring && ring.count > 0 && this.stretch.x1 >= ring.xAt(ring.high - 1);
  }

  restyle() {
    const { model } = this.link;
    const theme = themeOf(model.get("theme") || "auto");
    this.theme = THEMES[theme];
    this.root.dataset.theme = theme;
    this.toolbar.element.hidden = model.get("toolbar") === false;
    this.stage.style.height = `${Math.max(340, this.link.height - (model.get("toolbar") === false ? 34 : 82))}px`;
    this.redraw();
  }

  resized() {
    const box = this.stage.getBoundingClientRect();
    const ratio = Math.min(window.devicePixelRatio || 1, 2.5);
    this.width = box.width;
    this.height = box.height;
    this.ratio = ratio;
    for (const canvas of [this.plots, this.over]) {
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
    }
    this.narrow = box.width < NARROW;
    this.small = this.narrow ? 11 : 12;
    this.root.dataset.narrow = String(this.narrow);
    this.widths.clear();
    this.stale.plots = true;
    // A canvas that changed its size is empty; drawing at once spares a white flash.
    if (this.width > 0) this.draw();
  }

  destroy() {
    clearTimeout(this.noticeTimer);
    clearTimeout(this.later);
  }

  // -- what the link tells ----------------------------------------------------------------------------------------

  newTicks(reset) {
    if (reset) {
      for (const range of Object.values(this.ranges)) range.reset();
      this.pinned = null;
    }
    this.redraw(true, false);
  }

  olderTicks() {
    this.redraw();
  }

  newMeta() {
    this.redraw();
  }

  newStatus(status) {
    this.root.dataset.phase = status.phase ?? "new";
    this.toolbar.show(status, this.meta, this.stretch.follow);
    if (status.notice && status.notice.id !== this.noticed) this.announce(status.notice);
    this.showBanner();
    this.redraw(false, !this.link.ring?.count);
  }

  jumpTo({ tick }) {
    if (Number.isFinite(tick)) {
      this.stretch.jump(tick);
      this.pinned = tick;
    } else this.toNewest();
    this.redraw();
  }

  connection(there) {
    this.lost = !there;
    this.showBanner();
  }

  showBanner() {
    const { status } = this.link;
    const fault = status.phase === "faulted" ? status.message || status.error || "the source has failed" : "";
    const text = this.lost ? "Connection lost; the picture stands still." : fault;
    this.banner.hidden = !text;
    put(this.banner, text);
  }

  announce({ id, text }) {
    this.noticed = id;
    if (!text) return;
    this.notice.textContent = text;
    this.notice.hidden = false;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = setTimeout(() => (this.notice.hidden = true), 6000);
  }

  /** The width of a text that is written often. */
  measured(ctx, text) {
    const key = `${ctx.font}|${text}`;
    let width = this.measures.get(key);
    if (width === undefined) {
      if (this.measures.size > 2000) this.measures.clear();
      this.measures.set(key, (width = ctx.measureText(text).width));
    }
    return width;
  }

  /** Room for a reading that grows as needed and never shrinks, so that heads do not dance. */
  widthOf(ctx, key, text) {
    const needed = Math.ceil(this.measured(ctx, text.replace(/[0-9]/g, "0")) / 6) * 6;
    const width = Math.max(this.widths.get(key) ?? 0, needed);
    this.widths.set(key, width);
    return width;
  }

  // -- drawing ----------------------------------------------------------------------------------------------------

  /** Draw soon; readings that only follow the newest tick change ten times a second at most, to be readable. */
  redraw(plots = true, over = true) {
    this.stale.plots ||= plots;
    this.stale.over ||= over;
    this.drawing ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.drawing);
    this.drawing = undefined;
    const { ring } = this.link;
    if (ring && this.width > 40) {
      const gutter = this.gutter;
      if (this.stale.plots) drawPlots(this);
      this.stale.over ||= this.crosshair !== null || gutter !== this.gutter;
      const wait = this.overAt + READINGS_MS - performance.now();
      if (this.stale.over || 0 >= wait) {
        drawOver(this);
        this.overAt = performance.now();
        clearTimeout(this.later);
        this.later = undefined;
        this.stale.over = false;
      } else this.later ??= setTimeout(() => this.redraw(false), wait);
      this.stale.plots = false;
      this.report();
    }
    this.link.drawn();
  }

  /** What tests and benchmarks read. */
  report() {
    const { ring, frames } = this.link;
    const { dataset } = this.root;
    const state = `${ring.high}/${this.link.received}`;
    if (state !== this.lastState) this.states++;
    this.lastState = state;
    dataset.ticks = ring.high;
    dataset.first = ring.origin;
    dataset.gaps = ring.missing;
    dataset.frames = frames;
    dataset.states = this.states;
    dataset.crosshair = this.crosshair ?? "";
    this.speak();
  }

  speak() {
    const now = performance.now();
    const row = this.shownRow;
    if (!row || now - this.summaryAt < SUMMARY_MS) return;
    const text = summaryOf(row, this.link.status, this.meta, this.ranges.forecast);
    if (this.spoken.textContent === text) return;
    this.summaryAt = now;
    this.spoken.textContent = text;
  }

  savePicture() {
    const picture = document.createElement("canvas");
    picture.width = this.plots.width;
    picture.height = this.plots.height;
    const ctx = picture.getContext("2d");
    ctx.drawImage(this.plots, 0, 0);
    ctx.drawImage(this.over, 0, 0);
    saveAs(picture.toDataURL("image/png"), `${(this.meta.title || "uspnb").replace(/[^\w-]+/g, "_")}.png`);
    this.announce({ id: this.noticed, text: "The picture was saved by the browser." });
  }

  // -- crosshair, looking back, speed -----------------------------------------------------------------------------

  pointAt(px) {
    this.pointer = px;
  }

  /** The tick under the crosshair, null where there is none. */
  get crosshair() {
    if (this.pinned !== null) return this.pinned;
    if (this.pointer === null || !this.sample?.count) return null;
    const inside = this.pointer >= this.sample.left - 4 && this.sample.left + this.sample.width + 4 >= this.pointer;
    return inside ? this.store.nearest(this.xAtPixel(this.pointer)) : null;
  }

  /** The row whose readings stand in the heads: under the crosshair, else the newest. */
  get shownRow() {
    const { ring, archive } = this.link;
    const tick = this.crosshair ?? ring.high - 1;
    return this.store.row(tick) ?? ring.row(tick) ?? archive?.row(tick) ?? null;
  }

  togglePin(px) {
    const tick = this.sample?.count ? this.store.nearest(this.xAtPixel(px)) : -1;
    if (this.pinned !== null || 0 > tick) return this.unpin();
    this.pinned = tick;
    this.link.say("selected", { tick });
  }

  unpin() {
    this.pinned = null;
  }

  /** Arrow keys: the crosshair moves; at the newest tick of a paused series, one on is a step. */
  move(by) {
    const { ring, status } = this.link;
    if (!ring.count) return;
    const newest = ring.high - 1;
    const now = this.crosshair ?? newest;
    const rests = status.phase === "paused" || status.phase === "new";
    if (by > 0 && now >= newest) {
      this.unpin();
      if (rests) this.link.command("step", by);
      return;
    }
    this.moveTo(now + by);
  }

  moveTo(tick) {
    const { ring } = this.link;
    if (!ring.count) return;
    this.pinned = Math.max(0, Math.min(tick, ring.high - 1));
    const x = this.store.row(this.pinned) ? this.store.xAt(this.pinned) : null;
    if (x === null) this.stretch.jump(this.pinned);
    else if (x < this.stretch.x0) this.stretch.pan(x - this.stretch.x0 - 0.1 * (this.stretch.x1 - this.stretch.x0));
    else if (x > this.stretch.x1) this.stretch.pan(x - this.stretch.x1 + 0.1 * (this.stretch.x1 - this.stretch.x0));
  }

  toNewest() {
    this.unpin();
    this.stretch.resume();
  }

  followIfAtEnd() {
    const { ring } = this.link;
    if (this.stretch.x1 > ring.xAt(ring.high - 1) + 0.5 * ring.interval()) this.stretch.resume();
  }

  followChanged() {
    this.toolbar.show(this.link.status, this.meta, this.stretch.follow);
  }

  changeSpeed(up) {
    if (this.meta.live) return;
    this.link.command("speed", nextSpeed(SPEEDS, this.link.status.speed, up));
  }

  get scaleX() {
    return this.sample?.scale || 1;
  }

  xAtPixel(px) {
    return this.stretch.x0 + (px - (this.sample?.left ?? 0)) / this.scaleX;
  }

  inOverview(py) {
    return this.overview && py >= this.overview.top - 4 && this.overview.bottom + 5 >= py;
  }

  scrubTo(px) {
    const { left, right } = this.overview;
    const share = Math.max(0, Math.min(1, (px - left) / (right - left)));
    const { ring } = this.link;
    if (share >= 0.995) this.toNewest();
    else this.stretch.jump(Math.round(share * (ring.high - 1)));
  }

  brush(from, to) {
    this.brushed = [Math.min(from, to), Math.max(from, to)];
  }

  endBrush() {
    const [from, to] = this.brushed ?? [0, 0];
    this.brushed = null;
    if (to - from > 6) this.stretch.between(this.xAtPixel(from), this.xAtPixel(to));
  }
}

export default widgetOf(LiveLink, View);
