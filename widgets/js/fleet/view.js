// The table of many assets: toolbar, head, rows that exist only where they can be seen, keys.

import { iconButton, nextSpeed, node, put, relabel } from "../shared/elements.js";
import { grouped } from "../shared/format.js";
import { Link, widgetOf } from "../shared/link.js";
import { dress } from "../shared/theme.js";
import { FleetData } from "./data.js";
import { FleetRow } from "./row.js";

const SPEEDS = [0.5, 1, 2, 5, 10, 20, 50, 100, null];
const OVERSCAN = 3;
const RESORT_MS = 2000;
const HEADS = [
  ["name", "Series", "name"], ["spark", "Last ticks"], ["value", "Value"], ["forecast", "Next forecast"],
  ["weights", "Weights"], ["mode", "Mode"], ["alarm", "Alarms", "alarm"], ["skill", "Skill", "skill"],
  ["coverage", "Inside"],
];
const HINTS = {
  spark: "the last 100 ticks with the interval forecast for each", skill: "error of the forecasts against that of the last value; above 0 is better",
  coverage: "share of ticks inside their interval", alarm: "how many so far; chart and tick of the last",
};

class FleetLink extends Link {
  constructor(model) {
    super(model);
    this.hear("opened", () => this.tell("newOpened"));
    this.hear("table_height", () => this.tell("restyle"));
    this.listen();
  }

  renew(meta) {
    this.data = new FleetData(meta);
    return true;
  }

  take(data) {
    return this.data.take(data);
  }
}

class FleetTable {
  constructor(link, el) {
    Object.assign(this, { link, model: link.model, states: 0, shown: 0, pool: [], active: 0, look: {} });
    Object.assign(this, { ask: { text: "", alarmsOnly: false, key: "name", descending: false }, order: [], sortedAt: 0 });
    this.build(el);
    this.restyle();
    this.newMeta();
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build(el) {
    const push = (label, name, act) => iconButton("press", label, name, act);
    this.play = push("Play", "play", () => this.link.command("toggle"));
    this.step = push("Step one tick", "step", () => this.link.command("step", 1));
    this.slower = push("Slower", "slower", () => this.pace(false));
    this.faster = push("Faster", "faster", () => this.pace(true));
    this.speed = node("span", "speed");
    this.search = node("input", "search", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", autocomplete: "off" });
    this.only = node("input", "", { type: "checkbox" });
    const sorts = [["name", "name"], ["alarm", "latest alarm"], ["skill", "skill"]].map(([value, text]) => node("option", "", { value }, [`Sort by ${text}`]));
    this.select = node("select", "sorts", { "aria-label": "Sort by" }, sorts);
    this.state = node("p", "state");
    this.message = node("p", "said", { role: "status" });
    this.head = node("div", "row head", { role: "row", "aria-rowindex": "1" }, HEADS.map(([name, text, key]) => this.headCell(name, text, key)));
    this.spacer = node("div", "spacer", { role: "presentation" });
    this.empty = node("p", "empty", { role: "presentation" });
    this.body = node("div", "body", { role: "rowgroup" }, [this.spacer]);
    this.grid = node("div", "grid", { role: "grid", "aria-label": "Series", "aria-colcount": String(HEADS.length) }, [
      node("div", "headgroup", { role: "rowgroup" }, [this.head]), this.body,
    ]);
    const tools = node("div", "tools", { role: "toolbar", "aria-label": "Controls of the fleet" }, [
      node("div", "group", {}, [this.play, this.step]), node("div", "group", {}, [this.slower, this.speed, this.faster]),
      this.search, node("label", "only", {}, [this.only, "Alarm in sight only"]), this.select, this.state,
    ]);
    const hint = node("p", "hint", {}, ["Arrow keys move, Enter opens a series, Space plays or pauses."]);
    this.root = node("section", "uspnb-fleet", { "aria-label": "Table of series" }, [tools, this.message, this.grid, this.empty, hint]);
    this.only.parentElement.title = "only series with an alarm within the ticks that are drawn";
    el.append(this.root);
    this.listen();
  }

  headCell(name, text, key) {
    const cell = node("div", `cell ${name}`, { role: "columnheader" });
    if (HINTS[name]) cell.title = HINTS[name];
    if (!key) cell.append(text);
    else {
      const button = node("button", "sort", { type: "button" }, [text, node("span", "arrow", { "aria-hidden": "true" })]);
      button.addEventListener("click", () => this.sortBy(key, this.ask.key === key ? !this.ask.descending : key !== "name"));
      cell.append(button);
      cell.dataset.key = key;
    }
    return cell;
  }

  listen() {
    this.search.addEventListener("input", () => this.filter({ text: this.search.value }));
    this.only.addEventListener("change", () => this.filter({ alarmsOnly: this.only.checked }));
    this.select.addEventListener("change", () => this.sortBy(this.select.value, this.select.value !== "name"));
    this.body.addEventListener("scroll", () => this.redraw());
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.open(Number(row.dataset.asset));
    });
    this.body.addEventListener("focusin", (event) => {
      const row = event.target.closest(".row");
      const at = row ? this.order.indexOf(Number(row.dataset.asset)) : -1;
      if (at >= 0) this.active = at;
    });
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.body.clientHeight / this.rowHeight) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) this.move(this.active + moves[event.key]);
    else if (event.key === "Enter") this.open(this.order[this.active]);
    else if (event.key === " ") this.link.command("toggle");
    else if (event.key === "Escape") this.link.say("chosen", { place: -1 });
    else return;
    event.preventDefault();
  }

  move(to) {
    if (!this.order.length) return;
    this.active = Math.min(Math.max(to, 0), this.order.length - 1);
    const top = this.active * this.rowHeight;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    else if (top + this.rowHeight > this.body.scrollTop + this.body.clientHeight) this.body.scrollTop = top + this.rowHeight - this.body.clientHeight;
    this.paint();
    this.pool.find((row) => row.index === this.active && !row.element.hidden)?.element.focus({ preventScroll: true });
  }

  // -- look -------------------------------------------------------------------------------------------------------

  restyle() {
    this.look = dress(this.root, this.model);
    this.pool.forEach((row) => (row.look = this.look));
    this.body.style.height = `${this.model.get("table_height") || 560}px`;
    this.resized();
  }

  resized() {
    const width = this.root.clientWidth;
    this.root.dataset.size = width < 560 ? "narrow" : width < 900 ? "medium" : "wide";
    this.rowHeight = width < 560 ? 60 : 44;
    this.redraw();
  }

  // -- data -------------------------------------------------------------------------------------------------------

  get data() {
    return this.link.data;
  }

  newMeta() {
    this.meta = { kernels: [], alarm_names: [], ...this.link.meta };
    this.pool.forEach((row) => row.element.remove());
    this.pool = [];
    this.active = 0;
    this.root.dataset.assets = String(this.data.count);
    this.sort();
    this.newStatus(this.link.status);
  }

  newTicks() {
    const live = performance.now() - this.sortedAt > RESORT_MS && !this.root.querySelector(".row:focus-visible");
    if (this.link.frames === 1 || (live && (this.ask.key !== "name" || this.ask.alarmsOnly))) this.sort();
    this.redraw();
  }

  /** What tests and benchmarks read. */
  report() {
    const { data, link } = this;
    if (link.received === this.shown) return;
    this.shown = link.received;
    this.states++;
    Object.assign(this.root.dataset, {
      ticks: data.next, first: data.first, gaps: data.gaps, frames: link.frames, states: this.states,
    });
  }

  filter(change) {
    Object.assign(this.ask, change);
    this.active = 0;
    this.body.scrollTop = 0;
    this.sort();
  }

  sortBy(key, descending) {
    this.select.value = key;
    this.filter({ key, descending });
  }

  sort() {
    const held = this.order[this.active];
    this.order = this.data.order(this.ask);
    this.sortedAt = performance.now();
    const again = this.order.indexOf(held);
    this.active = again >= 0 ? again : Math.min(this.active, Math.max(0, this.order.length - 1));
    this.root.dataset.shown = String(this.order.length);
    this.grid.setAttribute("aria-rowcount", String(this.order.length + 1));
    this.empty.hidden = this.order.length > 0;
    put(this.empty, this.data.count ? "No series fits the filter." : "Waiting for the series.");
    for (const cell of this.head.children) {
      if (!cell.dataset.key) continue;
      const mine = cell.dataset.key === this.ask.key;
      cell.setAttribute("aria-sort", mine ? (this.ask.descending ? "descending" : "ascending") : "none");
    }
    this.redraw();
  }

  // -- painting ---------------------------------------------------------------------------------------------------

  redraw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = undefined;
      this.paint();
      this.report();
      this.link.drawn();
    });
  }

  /** Rows in sight and a few round them; a row keeps its element while its place in the order stays in the pool. */
  paint() {
    this.spacer.style.height = `${this.order.length * this.rowHeight}px`;
    const from = Math.max(0, Math.floor(this.body.scrollTop / this.rowHeight) - OVERSCAN);
    const to = Math.min(this.order.length, Math.ceil((this.body.scrollTop + this.body.clientHeight) / this.rowHeight) + OVERSCAN);
    const size = Math.max(this.pool.length, to - from);
    while (this.pool.length < size) {
      const row = new FleetRow(this.meta, this.look);
      this.pool.push(row);
      this.spacer.append(row.element);
    }
    const opened = (this.model.get("opened") || {}).place ?? -1;
    const focus = from <= this.active && this.active < to ? this.active : from;
    const held = this.root.getRootNode().activeElement;
    this.pool.forEach((row) => (row.used = false));
    for (let index = from; index < to; index++) {
      const row = this.pool[index % size];
      if (row.element === held && row.index !== index) held.blur();
      row.used = true;
      row.bind(this.order[index], index, index * this.rowHeight);
      row.element.tabIndex = index === focus ? 0 : -1;
      row.show(this.data, this.order[index] === opened);
    }
    for (const row of this.pool) if (!row.used) row.element.hidden = true;
  }

  /** What was closed gives the focus back to its row. */
  newOpened() {
    const opened = (this.model.get("opened") || {}).place ?? -1;
    if (this.opened >= 0 && opened < 0) setTimeout(() => this.move(this.active), 50);
    this.opened = opened;
    this.redraw();
  }

  newStatus(now) {
    const runs = now.phase === "running" || now.phase === "starting";
    relabel(this.play, runs ? "Pause" : "Play", runs ? "pause" : "play");
    const over = ["finished", "closed", "faulted"].includes(now.phase);
    this.play.disabled = over;
    this.step.disabled = over || runs;
    const live = Boolean(this.meta?.live);
    this.slower.disabled = over || live || now.speed === SPEEDS[0];
    this.faster.disabled = over || live || now.speed === null;
    put(this.speed, live ? "live" : now.speed === null || now.speed === undefined ? "max" : `${now.speed}/s`);
    const parts = [now.phase ?? "waiting", `${grouped(now.assets ?? 0)} series`];
    if (now.ticks) parts.push(`tick ${grouped(now.ticks)}${now.total ? ` of ${grouped(now.total)}` : ""}`);
    if (now.phase === "running" && now.rate > 0) parts.push(`${now.rate.toFixed(1)} ticks/s`);
    parts.push(`${grouped(now.alarms ?? 0)} alarms`);
    if (now.degraded) parts.push(`${now.degraded} in doubt`);
    if (now.emergency) parts.push(`${now.emergency} in emergency`);
    put(this.state, parts.join(" \u00b7 "));
    put(this.message, now.message || "");
    this.root.dataset.phase = now.phase ?? "";
  }

  // -- what a reader does -----------------------------------------------------------------------------------------

  pace(up) {
    this.link.command("speed", nextSpeed(SPEEDS, this.link.status.speed, up));
  }

  open(asset) {
    if (asset === undefined || Number.isNaN(asset)) return;
    this.active = Math.max(0, this.order.indexOf(asset));
    this.link.say("chosen", { place: asset });
  }
}

export default widgetOf(FleetLink, FleetTable);
