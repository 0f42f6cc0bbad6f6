// shared/elements.js
var SVG = "http://www.w3.org/2000/svg";
var ICONS = {
  play: "M5 3.5v13l11-6.5z",
  pause: "M5 3.5h3.5v13H5zM11.5 3.5H15v13h-3.5z",
  step: "M4 3.5v13l8.5-6.5zM13.5 3.5H16v13h-2.5z",
  slower: "M4 9h12v2H4z",
  faster: "M9 4h2v5h5v2h-5v5H9v-5H4V9h5z",
  follow: "M3 9h8.2L8 5.8 9.4 4.4 15 10l-5.6 5.6L8 14.2 11.2 11H3zM15.5 4H17v12h-1.5z",
  picture: "M3 4h14v12H3zM4.5 14.5h11l-3.5-5-2.7 3.4L7.5 11zM7 7.8a1.2 1.2 0 1 0 .01 0z",
  export: "M9 3h2v8l2.8-2.8 1.4 1.4L10 14.8 4.8 9.6l1.4-1.4L9 11zM4 16h12v1.6H4z"
};
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
function node(tag, className = "", attributes = {}, children = []) {
  return h(tag, className ? { className, ...attributes } : attributes, ...children);
}
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function iconButton(className, label, sign, pressed) {
  const attributes = { type: "button", "aria-label": label, title: label, onclick: pressed };
  return node("button", className, attributes, [ICONS[sign] ? icon(sign) : sign]);
}
function relabel(button, label, sign) {
  if (button.getAttribute("aria-label") === label) return;
  button.setAttribute("aria-label", label);
  button.title = label;
  button.replaceChildren(icon(sign));
}
function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill-rule", "evenodd");
  return svg;
}
function nextSpeed(ladder, speed, up) {
  const now = speed ?? Infinity;
  const rungs = ladder.map((rung) => rung ?? Infinity);
  const found = up ? rungs.find((rung) => rung > now) : rungs.reverse().find((rung) => now > rung);
  if (found === void 0) return speed ?? null;
  return found === Infinity ? null : found;
}

// shared/format.js
var SECOND = 1e3;
var MINUTE = 60 * SECOND;
var HOUR = 60 * MINUTE;
var DAY = 24 * HOUR;
var DASH = "\u2013";
function grouped(count) {
  return Number.isFinite(count) ? Math.round(count).toLocaleString("en-US") : "-";
}
function number(value, digits = 4) {
  if (!Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  const places = Math.max(0, digits - 1 - Math.max(0, Math.floor(Math.log10(size || 1))));
  return value.toFixed(places);
}
function percent(share, unknown = "-") {
  return Number.isFinite(share) ? `${Math.floor(100 * share + 0.5)} %` : unknown;
}
function signedPercent(change, most = Infinity) {
  if (!Number.isFinite(change)) return DASH;
  return `${change > 0 ? "+" : ""}${Math.abs(change) > most ? "> 999" : (100 * change).toFixed(1)} %`;
}
var spaced = (name) => name.replaceAll("_", " ");

// shared/link.js
var GREET_MS = 3e3;
var QUIET_MS = 6e3;
var GONE_MS = 1e4;
var DELAYS_KEPT = 2e3;
var COMMANDS_KEPT = 8;
function numbersOf(data, least) {
  if (!data || data.byteLength < 8 * least) return null;
  const [buffer, start] = [data.buffer || data, data.byteOffset || 0];
  const aligned = start % 8 === 0;
  return aligned ? new Float64Array(buffer, start, Math.floor(data.byteLength / 8)) : new Float64Array(buffer.slice(start, start + data.byteLength));
}
var Link = class {
  constructor(model) {
    this.model = model;
    this.views = /* @__PURE__ */ new Set();
    this.client = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
    this.ids = this.frames = this.received = this.asked = 0;
    this.recent = [];
    this.undrawn = [];
    this.delays = [];
    this.stamps = [];
    this.heard = performance.now();
    this.gone = false;
  }
  listen() {
    this.hear("frame", (data) => this.frame(data));
    this.hear("status", (status) => this.tell("newStatus", this.status = status || {}));
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
      this.timer = setInterval(() => this.watch(), 1e3);
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
    this.recent = [...this.recent, command].slice(-COMMANDS_KEPT);
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
    for (const kept of [this.delays, this.stamps]) {
      if (kept.length > 2 * DELAYS_KEPT) kept.splice(0, kept.length - DELAYS_KEPT);
    }
    this.send("acknowledged", this.received);
  }
  /** Once a second: is anybody there?  Asked only for a view that shows it. */
  watch() {
    const now = performance.now();
    if (!this.frames && now - this.helloAt > GREET_MS) this.hello();
    if (![...this.views].some((view) => view.connection)) return;
    if (QUIET_MS > now - this.heard) {
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
};
function widgetOf(LinkOf, ViewOf) {
  return () => {
    let link = null;
    const linked = (model) => link ??= new LinkOf(model);
    return {
      initialize({ model }) {
        linked(model);
      },
      render({ model, el }) {
        const view = new ViewOf(linked(model), el);
        return () => view.destroy();
      }
    };
  };
}

// shared/theme.js
var THEMES = {
  light: {
    background: "#ffffff",
    text: "#24292f",
    muted: "#57606a",
    grid: "#e7e9ec",
    axis: "#afb6bd",
    observed: "#6b727b",
    band: "rgba(47,134,200,0.20)",
    alarm: "#c24f00",
    raised: "#f3f5f7",
    held: "#8a6d00",
    emergency: "rgba(213,94,0,0.17)",
    forecast: "#1f6fae",
    cross: "#57606a"
  },
  dark: {
    background: "#15181c",
    text: "#dde2e8",
    muted: "#a5adb6",
    grid: "#2a2f36",
    axis: "#59616a",
    observed: "#b4bbc3",
    band: "rgba(70,150,215,0.26)",
    alarm: "#ff8a3d",
    raised: "#20252b",
    held: "#d9b036",
    emergency: "rgba(255,120,40,0.20)",
    forecast: "#5aaeea",
    cross: "#a5adb6"
  }
};
function themeOf(asked) {
  if (asked === "light" || asked === "dark") return asked;
  const { body, documentElement: page } = document;
  if (body.dataset.jpThemeLight !== void 0) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
  for (const element of [body, page]) {
    for (const name of ["data-theme", "data-bs-theme", "data-color-scheme"]) {
      const said = element.getAttribute(name);
      if (said === "light" || said === "dark") return said;
    }
  }
  return window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  for (const element of [document.body, document.documentElement]) {
    observer.observe(element, {
      attributes: true,
      attributeFilter: ["data-jp-theme-light", "data-theme", "data-bs-theme", "data-color-scheme"]
    });
  }
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", changed);
  };
}
function dress(root, model) {
  const theme = themeOf(model.get("theme") || "auto");
  for (const [name, colour] of Object.entries(THEMES[theme])) root.style.setProperty(`--f-${name}`, colour);
  root.dataset.theme = theme;
  return THEMES[theme];
}

// fleet/data.js
var HEADER = 10;
var FleetData = class {
  constructor(meta) {
    this.assets = (meta.assets || []).map(String);
    this.count = this.assets.length;
    this.ticksKept = meta.ticks || 100;
    this.sparks = Object.fromEntries((meta.spark_columns || []).map((name, k) => [name, k]));
    this.columns = Object.fromEntries((meta.summary_columns || []).map((name, k) => [name, k]));
    this.width = (meta.spark_columns || []).length;
    this.summaryWidth = (meta.summary_columns || []).length;
    this.ring = new Float64Array(this.ticksKept * this.count * this.width).fill(NaN);
    this.summary = new Float64Array(this.count * this.summaryWidth).fill(NaN);
    this.first = this.next = this.gaps = 0;
    this.lower = this.assets.map((name) => name.toLowerCase());
  }
  /** Take a frame in; null where it does not fit. */
  take(data) {
    const values = numbersOf(data, HEADER);
    if (!values) return null;
    const [seq, reset, first, count, assets, sent] = values;
    if (assets !== this.count) return null;
    if (!reset && !this.begun) return null;
    this.begun = true;
    if (reset) this.first = first;
    else this.gaps += Math.max(0, first - this.next);
    this.summary.set(values.subarray(HEADER, HEADER + assets * this.summaryWidth));
    const row = this.count * this.width;
    let at = HEADER + assets * this.summaryWidth;
    for (let tick = first; tick < first + count; tick++, at += row) {
      this.ring.set(values.subarray(at, at + row), tick % this.ticksKept * row);
    }
    this.next = first + count;
    this.first = Math.max(this.first, this.next - this.ticksKept);
    return { seq, sent, reset };
  }
  of(asset, name) {
    return this.summary[asset * this.summaryWidth + this.columns[name]];
  }
  spark(asset, name, tick) {
    return this.ring[(tick % this.ticksKept * this.count + asset) * this.width + this.sparks[name]];
  }
  recentAlarm(asset) {
    const tick = this.of(asset, "last_alarm_tick");
    return Number.isFinite(tick) && tick >= this.next - this.ticksKept;
  }
  weights(asset, kernels) {
    return kernels.map((name) => this.of(asset, `weight_${name}`));
  }
  /** Places of the assets to show, in order: by name, or by a number with what is unknown last. */
  order({ text, alarmsOnly, key, descending }) {
    const wanted = text.trim().toLowerCase();
    const shown = [];
    for (let k = 0; k < this.count; k++) {
      if (wanted && !this.lower[k].includes(wanted)) continue;
      if (alarmsOnly && !this.recentAlarm(k)) continue;
      shown.push(k);
    }
    const sign = descending ? -1 : 1;
    if (key === "name") {
      const compare = new Intl.Collator(void 0, { numeric: true }).compare;
      return shown.sort((a, b) => sign * compare(this.assets[a], this.assets[b]) || a - b);
    }
    const column = { alarm: "last_alarm_tick", skill: "skill" }[key];
    return shown.sort((a, b) => {
      const [x, y] = [this.of(a, column), this.of(b, column)];
      if (Number.isFinite(x) !== Number.isFinite(y)) return Number.isFinite(x) ? -1 : 1;
      return Number.isFinite(x) ? sign * (x - y) || a - b : a - b;
    });
  }
};

// shared/canvas.js
function fitted(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

// fleet/row.js
var MODES = ["inference", "calibration", "diagnostic"];
var MOST_SKILL = 9.99;
var FleetRow = class {
  constructor(meta, look) {
    this.meta = meta;
    this.look = look;
    this.asset = -1;
    const cell = (name, children = []) => node("div", `cell ${name}`, { role: "gridcell" }, children);
    this.name = node("span", "name-text");
    this.canvas = node("canvas", "", { "aria-hidden": "true" });
    this.value = node("span", "number");
    this.forecast = node("span", "number");
    this.interval = node("span", "interval");
    this.parts = meta.kernels.map(() => node("i"));
    this.leader = node("span", "leader");
    this.badge = node("span", "badge");
    this.alarm = node("span", "alarm-text");
    this.skill = node("span", "number");
    this.coverage = node("span", "number");
    this.weights = cell("weights", [node("span", "bar", { "aria-hidden": "true" }, this.parts), this.leader]);
    this.weights.addEventListener("pointerenter", () => this.weights.title = this.told || "");
    this.element = node("div", "row", { role: "row", tabindex: "-1" }, [
      cell("name", [this.name]),
      cell("spark", [this.canvas]),
      cell("value", [this.value]),
      cell("forecast", [this.forecast, this.interval]),
      this.weights,
      cell("mode", [this.badge]),
      cell("alarm", [this.alarm]),
      cell("skill", [this.skill]),
      cell("coverage", [this.coverage])
    ]);
  }
  bind(asset, index, top) {
    if (this.index !== index || this.asset !== asset) {
      this.index = index;
      this.asset = asset;
      this.element.setAttribute("aria-rowindex", String(index + 2));
      this.element.dataset.asset = String(asset);
    }
    this.element.style.transform = `translateY(${top}px)`;
    this.element.hidden = false;
  }
  show(data, open) {
    const { asset, meta } = this;
    const of = (name) => data.of(asset, name);
    put(this.name, data.assets[asset]);
    if (this.name.title !== data.assets[asset]) this.name.title = data.assets[asset];
    this.element.classList.toggle("open", open);
    if (open) this.element.setAttribute("aria-selected", "true");
    else this.element.removeAttribute("aria-selected");
    put(this.value, of("rejected") && !Number.isFinite(of("value")) ? "missing" : number(of("value")));
    put(this.forecast, number(of("forecast")));
    put(this.interval, `${number(of("lower"))} to ${number(of("upper"))}`);
    this.showWeights(data.weights(asset, meta.kernels));
    const mode = of("emergency") ? "emergency" : of("degraded") ? "in doubt" : MODES[of("mode")] ?? "waiting";
    put(this.badge, mode);
    this.badge.dataset.mode = mode;
    const count = of("alarms");
    const chart = meta.alarm_names[of("last_alarm_chart")];
    const recent = data.recentAlarm(asset);
    put(this.alarm, count > 0 ? `${count} \xB7 ${chart && spaced(chart)} at ${grouped(of("last_alarm_tick"))}` : "none");
    this.alarm.classList.toggle("recent", recent);
    put(this.skill, signedPercent(of("skill"), MOST_SKILL));
    this.skill.classList.toggle("good", of("skill") > 5e-3);
    put(this.coverage, percent(of("coverage"), DASH));
    this.draw(data);
  }
  showWeights(weights) {
    let leader = 0;
    weights.forEach((weight, k) => {
      if (weight > weights[leader]) leader = k;
      const width = `${(100 * (weight || 0)).toFixed(1)}%`;
      if (this.parts[k].style.width !== width) this.parts[k].style.width = width;
    });
    const known = Number.isFinite(weights[leader]);
    this.told = this.meta.kernels.map((name, k) => `${spaced(name)} ${percent(weights[k], DASH)}`).join(", ");
    put(this.leader, known ? `${spaced(this.meta.kernels[leader])} ${percent(weights[leader])}` : DASH);
  }
  /** Interval as a band, forecasts as a thin line, observations over them, a mark at each alarm. */
  draw(data) {
    const { canvas, look } = this;
    const [w, h2] = [canvas.clientWidth, canvas.clientHeight];
    if (!w || !h2) return;
    const pen = fitted(canvas, w, h2);
    const { first, next, ticksKept } = data;
    const read = (name) => Array.from({ length: next - first }, (_, k) => data.spark(this.asset, name, first + k));
    const [y, low, high, mid, alarm] = ["observation", "lower", "upper", "prediction", "alarm"].map(read);
    let [bottom, top] = [Infinity, -Infinity];
    for (const value of y) if (Number.isFinite(value)) [bottom, top] = [Math.min(bottom, value), Math.max(top, value)];
    if (!(top >= bottom)) return;
    const room = (top - bottom || Math.abs(top) || 1) / 3;
    const inside = (value, from, to) => Math.min(Math.max(value, from), to);
    let [least, most] = [bottom, top];
    low.forEach((value) => Number.isFinite(value) && (least = Math.min(least, inside(value, bottom - room, top))));
    high.forEach((value) => Number.isFinite(value) && (most = Math.max(most, inside(value, bottom, top + room))));
    const span = most - least || 1;
    const x = (k) => 1 + (w - 3) * (ticksKept - (next - first) + k) / (ticksKept - 1);
    const at = (value) => 2 + (h2 - 4) * (1 - (inside(value, least - span, most + span) - least) / span);
    pen.fillStyle = look.band;
    pen.beginPath();
    let open = [];
    const close = () => {
      open.forEach((k, i) => i ? pen.lineTo(x(k), at(high[k])) : pen.moveTo(x(k), at(high[k])));
      for (const k of open.reverse()) pen.lineTo(x(k), at(low[k]));
      open = [];
    };
    y.forEach((_, k) => Number.isFinite(low[k]) && Number.isFinite(high[k]) ? open.push(k) : close());
    close();
    pen.fill();
    const line = (values, colour, width) => {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      let down = false;
      values.forEach((value, k) => {
        if (!Number.isFinite(value)) down = false;
        else if (down) pen.lineTo(x(k), at(value));
        else {
          pen.moveTo(x(k), at(value));
          down = true;
        }
      });
      pen.stroke();
    };
    line(mid, look.forecast, 1);
    line(y, look.text, 1.1);
    pen.fillStyle = look.alarm;
    alarm.forEach((raised, k) => raised > 0 && pen.fillRect(x(k) - 1, 0, 2, h2));
  }
};

// fleet/view.js
var SPEEDS = [0.5, 1, 2, 5, 10, 20, 50, 100, null];
var OVERSCAN = 3;
var RESORT_MS = 2e3;
var HEADS = [
  ["name", "Series", "name"],
  ["spark", "Last ticks"],
  ["value", "Value"],
  ["forecast", "Next forecast"],
  ["weights", "Weights"],
  ["mode", "Mode"],
  ["alarm", "Alarms", "alarm"],
  ["skill", "Skill", "skill"],
  ["coverage", "Inside"]
];
var HINTS = {
  spark: "the last 100 ticks with the interval forecast for each",
  skill: "error of the forecasts against that of the last value; above 0 is better",
  coverage: "share of ticks inside their interval",
  alarm: "how many so far; chart and tick of the last"
};
var FleetLink = class extends Link {
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
};
var FleetTable = class {
  constructor(link, el) {
    Object.assign(this, { link, model: link.model, states: 0, shown: 0, pool: [], active: 0, look: {} });
    Object.assign(this, { ask: { text: "", alarmsOnly: false, key: "name", descending: false }, order: [], sortedAt: 0 });
    this.build(el);
    this.root.uspnb = { delays: link.delays, stamps: link.stamps, link, view: this };
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.root);
    this.unwatch = watchTheme(() => this.restyle());
    this.restyle();
    this.newMeta();
    link.attach(this);
  }
  destroy() {
    this.observer.disconnect();
    this.unwatch();
    this.link.detach(this);
    cancelAnimationFrame(this.asked);
    this.root.remove();
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
    this.said = node("p", "said", { role: "status" });
    this.head = node("div", "row head", { role: "row", "aria-rowindex": "1" }, HEADS.map(([name, text, key]) => this.headCell(name, text, key)));
    this.spacer = node("div", "spacer", { role: "presentation" });
    this.empty = node("p", "empty", { role: "presentation" });
    this.body = node("div", "body", { role: "rowgroup" }, [this.spacer]);
    this.grid = node("div", "grid", { role: "grid", "aria-label": "Series", "aria-colcount": String(HEADS.length) }, [
      node("div", "headgroup", { role: "rowgroup" }, [this.head]),
      this.body
    ]);
    const tools = node("div", "tools", { role: "toolbar", "aria-label": "Controls of the fleet" }, [
      node("div", "group", {}, [this.play, this.step]),
      node("div", "group", {}, [this.slower, this.speed, this.faster]),
      this.search,
      node("label", "only", {}, [this.only, "Alarm in sight only"]),
      this.select,
      this.state
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
    this.pool.forEach((row) => row.look = this.look);
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
    if (this.link.frames === 1 || live && (this.ask.key !== "name" || this.ask.alarmsOnly)) this.sort();
    this.redraw();
  }
  /** What tests and benchmarks read. */
  report() {
    const { data, link } = this;
    if (link.received === this.shown) return;
    this.shown = link.received;
    this.states++;
    Object.assign(this.root.dataset, {
      ticks: data.next,
      first: data.first,
      gaps: data.gaps,
      frames: link.frames,
      states: this.states
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
      cell.setAttribute("aria-sort", mine ? this.ask.descending ? "descending" : "ascending" : "none");
    }
    this.redraw();
  }
  // -- painting ---------------------------------------------------------------------------------------------------
  redraw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = void 0;
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
    this.pool.forEach((row) => row.used = false);
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
    put(this.speed, live ? "live" : now.speed === null || now.speed === void 0 ? "max" : `${now.speed}/s`);
    const said = [now.phase ?? "waiting", `${grouped(now.assets ?? 0)} series`];
    if (now.ticks) said.push(`tick ${grouped(now.ticks)}${now.total ? ` of ${grouped(now.total)}` : ""}`);
    if (now.phase === "running" && now.rate > 0) said.push(`${now.rate.toFixed(1)} ticks/s`);
    said.push(`${grouped(now.alarms ?? 0)} alarms`);
    if (now.degraded) said.push(`${now.degraded} in doubt`);
    if (now.emergency) said.push(`${now.emergency} in emergency`);
    put(this.state, said.join(" \xB7 "));
    put(this.said, now.message || "");
    this.root.dataset.phase = now.phase ?? "";
  }
  // -- what a reader does -----------------------------------------------------------------------------------------
  pace(up) {
    this.link.command("speed", nextSpeed(SPEEDS, this.link.status.speed, up));
  }
  open(asset) {
    if (asset === void 0 || Number.isNaN(asset)) return;
    this.active = Math.max(0, this.order.indexOf(asset));
    this.link.say("chosen", { place: asset });
  }
};
var view_default = widgetOf(FleetLink, FleetTable);
export {
  view_default as default
};
