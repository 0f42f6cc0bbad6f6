// ---------------------------------------------------------------------------------------------------------------
// The table of many assets: toolbar, head, rows that exist only where they can be seen, keys, and the link to Python
// with two credits (a frame is acknowledged once it is drawn).
// ---------------------------------------------------------------------------------------------------------------

const FLEET_SPEEDS = [0.5, 1, 2, 5, 10, 20, 50, 100, null];
const OVERSCAN = 3;
const RESORT_MS = 2000;
const FLEET_DELAYS_KEPT = 2000;
const HEADS = [
  ["name", "Series", "name"], ["spark", "Last ticks"], ["value", "Value"], ["forecast", "Next forecast"],
  ["weights", "Weights"], ["mode", "Mode"], ["alarm", "Alarms", "alarm"], ["skill", "Skill", "skill"],
  ["coverage", "Inside"],
];
const HINTS = {
  spark: "the last 100 ticks with the interval forecast for each", skill: "error of the forecasts against that of the last value; above 0 is better",
  coverage: "share of ticks inside their interval", alarm: "how many so far; chart and tick of the last",
};
const SIGNS = {
  play: "M5 3.5v13l11-6.5z", pause: "M5 3.5h3.5v13H5zM11.5 3.5H15v13h-3.5z",
  step: "M4 3.5v13l8.5-6.5zM13.5 3.5H16v13h-2.5z", slower: "M4 9h12v2H4z", faster: "M9 4h2v5h5v2h-5v5H9v-5H4V9h5z",
};

function sign(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SIGNS[name]);
  svg.append(path);
  return svg;
}

class FleetTable {
  constructor(model, el) {
    Object.assign(this, { model, ids: 0, recent: [], frames: 0, states: 0, seq: 0, pending: [], pool: [], active: 0 });
    Object.assign(this, { ask: { text: "", alarmsOnly: false, key: "name", descending: false }, order: [], sortedAt: 0 });
    this.look = {};
    this.build(el);
    this.root.uspnb = { delays: [], stamps: [] };
    const heard = (name, act) => {
      model.on(`change:${name}`, act);
      this.ends.push(() => model.off?.(`change:${name}`, act));
    };
    this.ends = [watchTheme(() => this.restyle())];
    heard("frame", () => this.frame(model.get("frame")));
    heard("status", () => this.showStatus());
    heard("meta", () => this.begin());
    heard("theme", () => this.restyle());
    heard("opened", () => this.showOpened());
    heard(model.get("table_height") === undefined ? "height" : "table_height", () => this.restyle());
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.root);
    this.restyle();
    this.begin();
  }

  end() {
    this.observer.disconnect();
    this.ends.forEach((act) => act());
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build(el) {
    const push = (label, name, act) => {
      const made = node("button", "press", { type: "button", "aria-label": label, title: label }, [sign(name)]);
      made.addEventListener("click", act);
      return made;
    };
    this.play = push("Play", "play", () => this.command("toggle"));
    this.step = push("Step one tick", "step", () => this.command("step", 1));
    this.slower = push("Slower", "slower", () => this.pace(-1));
    this.faster = push("Faster", "faster", () => this.pace(1));
    this.speed = node("span", "speed");
    this.search = node("input", "search", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", autocomplete: "off" });
    this.only = node("input", "", { type: "checkbox" });
    const sorts = [["name", "name"], ["alarm", "latest alarm"], ["skill", "skill"]].map(([value, text]) => node("option", "", { value }, [`Sort by ${text}`]));
    this.select = node("select", "sorts", { "aria-label": "Sort by" }, sorts);
    this.state = node("p", "state");
    this.said = node("p", "said", { role: "status" });
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
    this.root = node("section", "uspnb-fleet", { "aria-label": "Table of series" }, [tools, this.said, this.grid, this.empty, hint]);
    this.only.parentElement.title = "only series with an alarm within the ticks that are drawn";
    el.append(this.root);
    this.listen();
  }

  headCell(name, text, key) {
    const made = node("div", `cell ${name}`, { role: "columnheader" });
    if (HINTS[name]) made.title = HINTS[name];
    if (!key) made.append(text);
    else {
      const button = node("button", "sort", { type: "button" }, [text, node("span", "arrow", { "aria-hidden": "true" })]);
      button.addEventListener("click", () => this.sortBy(key, this.ask.key === key ? !this.ask.descending : key !== "name"));
      made.append(button);
      made.dataset.key = key;
    }
    return made;
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
    else if (event.key === " ") this.command("toggle");
    else if (event.key === "Escape") this.send("chosen", { place: -1, id: ++this.ids });
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
    const theme = themeOf(this.model.get("theme"));
    this.look = THEMES[theme];
    this.pool.forEach((row) => (row.look = this.look));
    for (const [name, colour] of Object.entries(this.look)) this.root.style.setProperty(`--f-${name}`, colour);
    this.root.dataset.theme = theme;
    const height = this.model.get("table_height") ?? this.model.get("height");
    this.body.style.height = `${height || 560}px`;
    this.resized();
  }

  resized() {
    const width = this.root.clientWidth;
    this.root.dataset.size = width < 560 ? "narrow" : width < 900 ? "medium" : "wide";
    this.rowHeight = width < 560 ? 60 : 44;
    this.redraw();
  }

  // -- data -------------------------------------------------------------------------------------------------------

  begin() {
    this.meta = { kernels: [], alarm_names: [], ...(this.model.get("meta") || {}) };
    this.data = new FleetData(this.meta);
    this.pool.forEach((row) => row.element.remove());
    this.pool = [];
    this.frames = this.active = 0;
    this.pending = [];
    this.root.dataset.assets = String(this.data.count);
    this.sort();
    this.showStatus();
    this.send("hello", { client: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`, id: ++this.ids });
  }

  frame(bytes) {
    const taken = bytes && this.data.take(bytes);
    if (!taken) return;
    this.frames++;
    this.seq = taken.seq;
    this.pending.push(taken.sent);
    const live = performance.now() - this.sortedAt > RESORT_MS && !this.root.querySelector(".row:focus-visible");
    if (this.frames === 1 || (live && (this.ask.key !== "name" || this.ask.alarmsOnly))) this.sort();
    if (document.hidden) this.drawn();
    else this.redraw();
  }

  drawn() {
    if (!this.pending.length) return;
    const now = performance.timeOrigin + performance.now();
    const { delays, stamps } = this.root.uspnb;
    this.pending.forEach((sent) => delays.push(now - sent));
    stamps.push(now);
    for (const list of [delays, stamps]) if (list.length > 2 * FLEET_DELAYS_KEPT) list.splice(0, list.length - FLEET_DELAYS_KEPT);
    this.pending = [];
    this.states++;
    Object.assign(this.root.dataset, {
      ticks: this.data.next, first: this.data.first, gaps: this.data.gaps, frames: this.frames, states: this.states,
    });
    this.send("acknowledged", this.seq);
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
    if (this.waiting || !this.data) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.paint();
      this.drawn();
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
  showOpened() {
    const opened = (this.model.get("opened") || {}).place ?? -1;
    if (this.opened >= 0 && opened < 0) setTimeout(() => this.move(this.active), 50);
    this.opened = opened;
    this.redraw();
  }

  showStatus() {
    const now = this.model.get("status") || {};
    const runs = now.phase === "running" || now.phase === "starting";
    const label = runs ? "Pause" : "Play";
    if (this.play.getAttribute("aria-label") !== label) {
      this.play.setAttribute("aria-label", label);
      this.play.title = label;
      this.play.replaceChildren(sign(runs ? "pause" : "play"));
    }
    const over = ["finished", "closed", "faulted"].includes(now.phase);
    this.play.disabled = over;
    this.step.disabled = over || runs;
    const live = Boolean(this.meta?.live);
    this.slower.disabled = over || live || now.speed === FLEET_SPEEDS[0];
    this.faster.disabled = over || live || now.speed === null;
    put(this.speed, live ? "live" : now.speed === null || now.speed === undefined ? "max" : `${now.speed}/s`);
    const said = [now.phase ?? "waiting", `${(now.assets ?? 0).toLocaleString("en")} series`];
    if (now.ticks) said.push(`tick ${now.ticks.toLocaleString("en")}${now.total ? ` of ${now.total.toLocaleString("en")}` : ""}`);
    if (now.phase === "running" && now.rate > 0) said.push(`${now.rate.toFixed(1)} ticks/s`);
    said.push(`${(now.alarms ?? 0).toLocaleString("en")} alarms`);
    if (now.degraded) said.push(`${now.degraded} in doubt`);
    if (now.emergency) said.push(`${now.emergency} in emergency`);
    put(this.state, said.join(" \u00b7 "));
    put(this.said, now.message || "");
    this.root.dataset.phase = now.phase ?? "";
  }

  // -- link -------------------------------------------------------------------------------------------------------

  pace(up) {
    const now = (this.model.get("status") || {}).speed ?? Infinity;
    const rungs = FLEET_SPEEDS.map((rung) => rung ?? Infinity);
    const next = up > 0 ? rungs.find((rung) => rung > now) : rungs.reverse().find((rung) => rung < now);
    if (next !== undefined) this.command("speed", next === Infinity ? null : next);
  }

  open(asset) {
    if (asset === undefined || Number.isNaN(asset)) return;
    this.active = Math.max(0, this.order.indexOf(asset));
    this.send("chosen", { place: asset, id: ++this.ids });
  }

  /** Commands travel with the ones before them, because a host may merge two that follow at once. */
  command(name, value = null) {
    const command = { name, value, id: ++this.ids };
    this.recent = [...this.recent.slice(-7), command];
    this.send("command", { ...command, recent: this.recent });
  }

  send(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }
}

/** On a page that also holds other components, Panel 1.9 hands over another kind of model; the right one is the view's. */
function render({ model, view, el }) {
  const table = new FleetTable(typeof model.get === "function" ? model : view.adapter, el);
  return () => table.end();
}

export default { render };
