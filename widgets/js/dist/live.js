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
function relabel(button2, label, sign) {
  if (button2.getAttribute("aria-label") === label) return;
  button2.setAttribute("aria-label", label);
  button2.title = label;
  button2.replaceChildren(icon(sign));
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
function saveAs(href, download) {
  const link = h("a", { href, download });
  document.body.append(link);
  link.click();
  link.remove();
}

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

// shared/format.js
var SECOND = 1e3;
var MINUTE = 60 * SECOND;
var HOUR = 60 * MINUTE;
var DAY = 24 * HOUR;
var MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
var padded = (part, digits = 2) => String(part).padStart(digits, "0");
function grouped(count) {
  return Number.isFinite(count) ? Math.round(count).toLocaleString("en-US") : "-";
}
function withStep(value, step) {
  if (!Number.isFinite(value)) return "-";
  const size = Math.max(Math.abs(value), step);
  if (size >= 1e6 || step < 1e-6) {
    if (value === 0) return "0";
    const digits = Math.max(0, Math.min(5, Math.ceil(Math.log10(size / step))));
    return value.toExponential(digits).replace("e+", "e");
  }
  const decimals = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step) - 1e-9)));
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text;
}
function percent(share, unknown = "-") {
  return Number.isFinite(share) ? `${Math.floor(100 * share + 0.5)} %` : unknown;
}
function instant(ms, step = SECOND) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "-";
  const date = `${at.getUTCFullYear()}-${padded(at.getUTCMonth() + 1)}-${padded(at.getUTCDate())}`;
  if (step >= DAY && ms % DAY === 0) return date;
  const clock = `${padded(at.getUTCHours())}:${padded(at.getUTCMinutes())}`;
  if (step >= MINUTE && ms % MINUTE === 0) return `${date} ${clock}`;
  const seconds = `${date} ${clock}:${padded(at.getUTCSeconds())}`;
  return step >= SECOND && ms % SECOND === 0 ? seconds : `${seconds}.${padded(at.getUTCMilliseconds(), 3)}`;
}
function shortTime(at, step) {
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  const clock = `${padded(at.getUTCHours())}:${padded(at.getUTCMinutes())}`;
  if (step >= 12 * 28 * DAY) return String(year);
  if (step >= 28 * DAY) return month === 0 ? String(year) : MONTHS[month];
  if (step >= DAY) return month === 0 && day === 1 ? String(year) : `${day} ${MONTHS[month]}`;
  if (at.getTime() % DAY === 0) return `${day} ${MONTHS[month]}`;
  if (step >= MINUTE) return clock;
  if (step >= SECOND) return `${clock}:${padded(at.getUTCSeconds())}`;
  return `${padded(at.getUTCSeconds())}.${padded(at.getUTCMilliseconds(), 3)}`;
}

// shared/scale.js
var TIME_STEPS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  4 * DAY,
  7 * DAY,
  14 * DAY
];
var MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  for (const factor of [1, 2, 5]) if (factor * power >= value * (1 - 1e-9)) return factor * power;
  return 10 * power;
}
var ValueRange = class {
  constructor(fill = 0.55) {
    this.fill = fill;
    this.reset();
  }
  reset() {
    this.low = NaN;
    this.high = NaN;
  }
  /** Make room for [low, high]; `hard` ends stay where they are. */
  cover(low, high, hard = [null, null]) {
    if (!Number.isFinite(low) || !Number.isFinite(high)) {
      if (!Number.isFinite(this.low)) [this.low, this.high] = [hard[0] ?? 0, hard[1] ?? 1];
      return;
    }
    const spread = high - low || Math.abs(high) * 0.02 || 1;
    const kept = this.low <= low && high <= this.high && spread >= this.fill * (this.high - this.low);
    if (kept) return;
    const margin = 0.07 * spread;
    const step = roundUp(spread / 10);
    this.low = hard[0] ?? Math.floor((low - margin) / step) * step;
    this.high = hard[1] ?? Math.ceil((high + margin) / step) * step;
    if (!(this.high > this.low)) this.high = this.low + step;
  }
  ticks(most) {
    const step = roundUp((this.high - this.low) / Math.max(most, 1));
    const found = [];
    for (let k = Math.ceil(this.low / step - 1e-9); k * step <= this.high + 1e-9 * step; k++) {
      found.push(k * step);
      if (found.length > 40) break;
    }
    return { step, values: found };
  }
};
function reading(value, range) {
  const span = range.high - range.low;
  return withStep(value, span > 0 ? roundUp(span / 2e3) : 1e-3);
}
function timeTicks(low, high, most) {
  const least = (high - low) / Math.max(most, 1);
  const found = [];
  const step = TIME_STEPS.find((candidate) => candidate >= least);
  if (step !== void 0) {
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
      found.push({ x: at, text: shortTime(new Date(at), step) });
    }
  } else {
    const months = MONTH_STEPS.find((candidate) => candidate * 30 * DAY >= least) || 2400;
    const first = new Date(low);
    let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months;
    for (; found.length <= most + 2; month += months) {
      const at = Date.UTC(Math.floor(month / 12), month % 12);
      if (at > high) break;
      if (at >= low) found.push({ x: at, text: shortTime(new Date(at), months * 28.5 * DAY) });
    }
  }
  return { step: step ?? 30 * DAY, ticks: found };
}
function countTicks(low, high, most) {
  const step = Math.max(1, roundUp((high - low) / Math.max(most, 1)));
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    if (at >= 0) found.push({ x: at, text: grouped(at) });
  }
  return { step, ticks: found };
}

// shared/theme.js
var ONSET = "#cc79a7";
var INK_ON_COLOUR = "#05080b";
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

// live/ring.js
var HEADER = 10;
var LIVE = 0;
function readFrame(data) {
  const numbers = numbersOf(data, HEADER);
  if (!numbers) return null;
  return {
    seq: numbers[0],
    reset: numbers[1] === 1,
    first: numbers[2],
    count: numbers[3],
    width: numbers[4],
    sent: numbers[5],
    live: numbers[7] === LIVE,
    rows: numbers.subarray(HEADER)
  };
}
var Ring = class {
  constructor(names, capacity) {
    this.names = names;
    this.capacity = capacity;
    this.index = Object.fromEntries(names.map((name, i) => [name, i]));
    this.columns = names.map(() => new Float64Array(capacity));
    this.x = new Float64Array(capacity);
    this.clear(0);
  }
  clear(first) {
    this.low = this.high = this.origin = first;
    this.missing = 0;
    this.lastX = -Infinity;
    this.alarms = [];
    this.sharesFrom = void 0;
    this.firstValid = Infinity;
  }
  get count() {
    return this.high - this.low;
  }
  /** Value of a column at a tick. */
  at(name, tick) {
    return this.columns[this.index[name]][tick % this.capacity];
  }
  column(name) {
    return this.columns[this.index[name]];
  }
  xAt(tick) {
    return this.x[tick % this.capacity];
  }
  /** Take rows in; ticks that were skipped are counted and stand as NaN. */
  append(frame, timed) {
    if (frame.reset) this.clear(frame.first);
    const skipped = frame.first - this.high;
    if (skipped > 0) this.skip(skipped);
    const from = Math.max(0, -skipped);
    const { rows, width, count } = frame;
    const known = Math.min(width, this.columns.length);
    const time = this.index.time;
    for (let k = from; k < count; k++) {
      const place = this.high % this.capacity;
      const base = k * width;
      for (let c = 0; c < known; c++) this.columns[c][place] = rows[base + c];
      const x = timed ? rows[base + time] : this.high;
      if (x > this.lastX) this.lastX = x;
      this.x[place] = this.lastX;
      this.note(place);
      this.high++;
    }
    this.low = Math.max(this.low, this.high - this.capacity);
  }
  skip(number) {
    this.missing += number;
    const stop = this.high + number;
    for (let tick = Math.max(this.high, stop - this.capacity); tick < stop; tick++) {
      const place = tick % this.capacity;
      for (const column of this.columns) column[place] = NaN;
      this.x[place] = this.lastX;
    }
    this.high = stop;
  }
  /** Remember alarms and where the first Holder exponent was measured, so that drawing need not look for them. */
  note(place) {
    if (this.column("alarm")[place] === 1) {
      this.alarms.push({
        tick: this.high,
        chart: this.column("alarm_chart")[place],
        onset: this.column("onset_tick")[place]
      });
      if (this.alarms.length > 4e3) this.alarms.splice(0, 2e3);
    }
    if (this.firstValid === Infinity) {
      const measured = this.column("holder_valid")[place] === 1 || this.column("holder_exponent")[place] !== 0.5;
      if (measured) this.firstValid = this.high;
    }
  }
  /** The first kept tick that stands at x or later; `high` where there is none. */
  search(x) {
    let low = this.low;
    let high = this.high;
    while (low !== high) {
      const middle = low + high >> 1;
      if (this.xAt(middle) >= x) high = middle;
      else low = middle + 1;
    }
    return low;
  }
  /** The kept tick that stands nearest to x; -1 in an empty ring. */
  nearest(x) {
    if (!this.count) return -1;
    const right = Math.min(this.search(x), this.high - 1);
    const left = Math.max(right - 1, this.low);
    return x - this.xAt(left) > this.xAt(right) - x ? right : left;
  }
  /** The usual distance between ticks: median of the last fifteen. */
  interval() {
    const found = [];
    for (let tick = Math.max(this.low + 1, this.high - 15); tick < this.high; tick++) {
      const step = this.xAt(tick) - this.xAt(tick - 1);
      if (step > 0) found.push(step);
    }
    if (!found.length) return 1;
    found.sort((a, b) => a - b);
    return found[found.length >> 1];
  }
  /** All columns of a tick by name; null where it is not kept. */
  row(tick) {
    if (!(tick >= this.low && this.high > tick)) return null;
    const place = tick % this.capacity;
    return Object.fromEntries(this.names.map((name, i) => [name, this.columns[i][place]]));
  }
};

// live/link.js
var BROWSER_ROWS = 2e4;
var WINDOW_MS = 500;
var LiveLink = class extends Link {
  constructor(model) {
    super(model);
    this.ring = this.archive = null;
    this.windowAsked = -Infinity;
    this.heightName = model.get("canvas_height") === void 0 ? "height" : "canvas_height";
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
    else if (!this.frames) return null;
    this.ring.append(frame, this.timed);
    return frame;
  }
  takeOlder(frame) {
    const room = this.archive?.capacity ?? 1e4;
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
};

// live/motion.js
var LEAST_TICKS = 8;
var AHEAD_PX = 22;
var Stretch = class {
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
    this.x1 = newest + Math.max(ring.interval(), AHEAD_PX / Math.max(width - AHEAD_PX, 50) * span);
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
    if (this.follow && x > this.x1 - 0.2 * (this.x1 - this.x0)) {
      const now = Math.min(this.rows ?? this.view.mostRows, ring.count);
      const next = Math.max(LEAST_TICKS, Math.round(now * factor));
      this.rows = next >= Math.min(ring.count, this.view.mostRows) ? null : next;
      return;
    }
    const least = LEAST_TICKS * store.interval();
    const most = Math.max(least, store.xAt(store.high - 1) - store.xAt(store.low)) * 1.02;
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
  /** Not past the newest tick nor before the first. */
  bound() {
    const { ring } = this.view.link;
    const store = this.view.store;
    const span = this.x1 - this.x0;
    const end = ring.xAt(ring.high - 1) + Math.max(ring.interval(), 0.03 * span);
    if (this.x1 > end) [this.x0, this.x1] = [end - span, end];
    const start = store.xAt(store.low);
    if (store.low === 0 && this.x0 < start) [this.x0, this.x1] = [start, start + span];
  }
};
function listenPointer(view) {
  const { stage } = view;
  const down = /* @__PURE__ */ new Map();
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
function listenKeys(view) {
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
    " ": () => view.act.toggle()
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

// shared/canvas.js
var FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Ubuntu, 'Noto Sans', sans-serif";
function triangleDown(ctx, x, y, size, colour) {
  ctx.beginPath();
  ctx.moveTo(x - size, y - 1.6 * size);
  ctx.lineTo(x + size, y - 1.6 * size);
  ctx.lineTo(x, y);
  ctx.closePath();
  ctx.fillStyle = colour;
  ctx.fill();
}
function diamond(ctx, x, y, size, colour, inside) {
  ctx.beginPath();
  ctx.moveTo(x, y - size);
  ctx.lineTo(x + size, y);
  ctx.lineTo(x, y + size);
  ctx.lineTo(x - size, y);
  ctx.closePath();
  ctx.fillStyle = inside;
  ctx.fill();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.6;
  ctx.stroke();
}
function disc(ctx, x, y, radius, colour, rim) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = colour;
  ctx.fill();
  if (rim) {
    ctx.strokeStyle = rim;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
}
function cross(ctx, x, y, size, colour, width = 1.4) {
  ctx.beginPath();
  ctx.moveTo(x - size, y - size);
  ctx.lineTo(x + size, y + size);
  ctx.moveTo(x - size, y + size);
  ctx.lineTo(x + size, y - size);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}
function straight(ctx, x0, y0, x1, y1, colour, dash = [], width = 1) {
  if (!dash.length && width === 1 && (x0 === x1 || y0 === y1)) {
    ctx.fillStyle = colour;
    ctx.fillRect(x0 === x1 ? x0 - 0.5 : x0, y0 === y1 ? y0 - 0.5 : y0, x1 - x0 || 1, y1 - y0 || 1);
    return;
  }
  ctx.beginPath();
  ctx.setLineDash(dash);
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.setLineDash([]);
}
function swatch(ctx, kind, x, y, colour, theme) {
  if (kind === "band" || kind === "square") {
    ctx.fillStyle = colour;
    ctx.fillRect(x, y - 5, 12, 10);
  } else if (kind === "triangle") triangleDown(ctx, x + 6, y + 5, 5, colour);
  else if (kind === "diamond") diamond(ctx, x + 6, y, 4.5, colour, theme.background);
  else if (kind === "dot") disc(ctx, x + 6, y, 3.6, theme.background, colour);
  else straight(ctx, x, y + 0.5, x + 12, y + 0.5, colour, kind === "dash" ? [4, 3] : [], 2);
}

// live/strokes.js
var FAR = 1e5;
var Sample = class {
  constructor(ring, x0, x1) {
    this.ring = ring;
    this.x0 = x0;
    this.x1 = x1;
    this.first = Math.max(ring.low, ring.search(x0) - 1);
    this.stop = Math.min(ring.high, ring.search(x1) + 1);
    this.count = Math.max(0, this.stop - this.first);
  }
  place(left, width) {
    this.left = left;
    this.width = width;
    this.scale = width / (this.x1 - this.x0 || 1);
    this.dense = this.count > 1.2 * width;
    this.close = this.count > 0.3 * width;
    this.exact = new Float32Array(this.count);
    this.pixels = new Float32Array(this.count);
    for (let k = 0; k < this.count; k++) {
      const x = left + (this.ring.xAt(this.first + k) - this.x0) * this.scale;
      this.exact[k] = x;
      this.pixels[k] = this.dense ? Math.floor(x) + 0.5 : x;
    }
  }
  /** Pixels that a tick takes. */
  get spacing() {
    return this.count ? this.width / this.count : this.width;
  }
  toX(x) {
    return this.left + (x - this.x0) * this.scale;
  }
  /** Call `group(pixel, from, to)` for each run of ticks k (from 0) that share a pixel. */
  groups(group) {
    const { pixels, count } = this;
    let from = 0;
    while (from !== count) {
      let to = from + 1;
      if (this.dense) while (to !== count && pixels[to] === pixels[from]) to++;
      group(pixels[from], from, to);
      from = to;
    }
  }
  /** Smallest and largest finite value of columns over the ticks shown, `share` of the extremes left out. */
  extent(columns, share = 0, leaveOut = null) {
    let low = Infinity;
    let high = -Infinity;
    const { capacity } = this.ring;
    const stride = share > 0 ? Math.max(1, 2 ** Math.ceil(Math.log2(this.count / 1500))) : 1;
    const lows = [];
    const start = Math.ceil(this.first / stride) * stride;
    for (const column of columns) {
      lows.length = 0;
      for (let tick = start; tick < this.stop; tick += stride) {
        const value = column[tick % capacity];
        if (!Number.isFinite(value) || leaveOut && leaveOut[tick % capacity] === 1) continue;
        if (share > 0) lows.push(value);
        if (low > value) low = value;
        if (value > high) high = value;
      }
    }
    if (share === 0 || !lows.length) return [low, high];
    const sorted = Float64Array.from(lows).sort();
    const cut = Math.floor(share * sorted.length);
    return [sorted[cut], sorted[sorted.length - 1 - cut]];
  }
};
var within = (y) => Math.max(-FAR, Math.min(FAR, y));
function eachPoint(sample, column, { leaveOut = null, since = 0 }, point) {
  const { first, count } = sample;
  const { capacity } = sample.ring;
  for (let k = Math.max(0, since - first); k < count; k++) {
    const place = (first + k) % capacity;
    const value = column[place];
    if (leaveOut && leaveOut[place] === 1 && value === value) continue;
    point(k, value);
  }
}
function strokeColumn(pen, sample, column, toY, colour, options = {}) {
  const { width = 1.4 } = options;
  if (sample.close) {
    const { start, low, high } = columnsOf(pen, sample, column, toY, options);
    const half = width * pen.ratio / 2;
    for (let c = 0; c < low.length; c++) {
      if (high[c] >= low[c]) pen.bar(start + c, 1, low[c] - half, high[c] + half, colour);
    }
    return;
  }
  const { ctx } = pen.flush();
  let down = false;
  ctx.beginPath();
  eachPoint(sample, column, options, (k, value) => {
    const known = value === value;
    if (known && down) ctx.lineTo(sample.exact[k], within(toY(value)));
    else if (known) ctx.moveTo(sample.exact[k], within(toY(value)));
    if (known && !down) ctx.lineTo(sample.exact[k] + 0.5, within(toY(value)));
    down = known;
  });
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineJoin = "round";
  ctx.stroke();
}
function columnsOf(pen, sample, column, toY, options = {}) {
  const { ratio } = pen;
  const start = Math.floor(sample.left * ratio) - 2;
  const room = Math.ceil(sample.width * ratio) + 5;
  const low = new Float32Array(room).fill(Infinity);
  const high = new Float32Array(room).fill(-Infinity);
  const touch = (at, a, b) => {
    if (0 > at || at >= room) return;
    if (low[at] > a) low[at] = a;
    if (low[at] > b) low[at] = b;
    if (a > high[at]) high[at] = a;
    if (b > high[at]) high[at] = b;
  };
  let x0 = NaN;
  let y0 = NaN;
  eachPoint(sample, column, options, (k, value) => {
    const x = sample.exact[k] * ratio - start;
    const y = within(toY(value)) * ratio;
    const at = Math.floor(x);
    if (y === y) {
      const from = Math.floor(x0);
      if (y0 !== y0 || from === at) touch(at, y, y0 === y0 ? y0 : y);
      else {
        const slope = (y - y0) / (x - x0);
        for (let c = Math.max(from, 0); c <= Math.min(at, room - 1); c++) {
          touch(c, y0 + (Math.max(c, x0) - x0) * slope, y0 + (Math.min(c + 1, x) - x0) * slope);
        }
      }
    }
    x0 = x;
    y0 = y;
  });
  return { start, low, high };
}
function fillBetween(pen, sample, lower, upper, toY, colour) {
  if (sample.close) {
    const below = columnsOf(pen, sample, lower, toY);
    const above = columnsOf(pen, sample, upper, toY);
    for (let c = 0; c < below.low.length; c++) {
      if (below.high[c] > above.low[c]) pen.bar(below.start + c, 1, above.low[c], below.high[c], colour);
    }
    return;
  }
  const { ctx } = pen.flush();
  const { ring, first, exact, count } = sample;
  ctx.fillStyle = colour;
  for (let from = 0, to = 0; from < count; from = to + 1) {
    for (to = from; to < count && upper[(first + to) % ring.capacity] >= lower[(first + to) % ring.capacity]; ) to++;
    if (to === from) continue;
    const half = to - from === 1 ? 2 : 0;
    ctx.beginPath();
    const corner = (k, column, by) => ctx.lineTo(exact[k] + by, within(toY(column[(first + k) % ring.capacity])));
    for (let k = from; k < to; k++) corner(k, upper, -half);
    if (half) corner(from, upper, half);
    for (let k = to - 1; k >= from; k--) corner(k, lower, half);
    if (half) corner(from, lower, -half);
    ctx.fill();
  }
}
function heap(sample, columns) {
  const { ring, first } = sample;
  const xs = [];
  const tops = columns.map(() => []);
  sample.groups((pixel, from, to) => {
    const sums = columns.map(() => 0);
    let known = 0;
    for (let k = from; k < to; k++) {
      const place = (first + k) % ring.capacity;
      if (columns[0][place] !== columns[0][place]) continue;
      known++;
      for (let c = 0; c < columns.length; c++) sums[c] += columns[c][place];
    }
    if (!known) return;
    xs.push(pixel);
    let total = 0;
    for (let c = 0; c < columns.length; c++) tops[c].push(total += sums[c] / known);
  });
  return { xs, tops };
}
function fillHeap(pen, sample, { xs, tops }, toY, colours, ground) {
  const n = xs.length;
  const { ratio } = pen;
  for (let i = 0; sample.dense && i < n; i++) {
    const from = Math.round((xs[i] - 0.5) * ratio);
    const wide = Math.max(1, Math.round(((xs[i + 1] ?? xs[i] + 1) - xs[i]) * ratio));
    for (let c = tops.length - 1; c >= 0; c--) {
      const top = toY(tops[c][i]) * ratio + (c === tops.length - 1 ? 0 : 1);
      pen.bar(from, wide, top, toY(c ? tops[c - 1][i] : 0) * ratio, colours[c]);
    }
  }
  const { ctx } = pen.flush();
  for (let c = tops.length - 1; c >= 0 && !sample.dense; c--) {
    ctx.beginPath();
    for (let i = 0; i < n; i++) ctx.lineTo(xs[i], toY(tops[c][i]));
    if (tops.length - 1 > c) {
      ctx.strokeStyle = ground;
      ctx.lineWidth = 2;
      ctx.stroke();
    }
    ctx.lineTo(xs[n - 1], toY(0));
    ctx.lineTo(xs[0], toY(0));
    ctx.fillStyle = colours[c];
    ctx.fill();
  }
}
function flagSpans(sample, flag, span) {
  const { ring, first, count, pixels } = sample;
  let began = -1;
  for (let k = 0; k <= count; k++) {
    const stands = k !== count && flag[(first + k) % ring.capacity] === 1;
    if (stands && began < 0) began = k;
    if (!stands && began >= 0) {
      span(pixels[began], Math.max(pixels[Math.min(k, count - 1)], pixels[began] + 1));
      began = -1;
    }
  }
}

// live/panels.js
var SPARSE = 5;
var DASH = [5, 4];
var forecastPanel = {
  key: "forecast",
  share: 0.43,
  title: (meta) => meta.units ? `Forecast [${meta.units}]` : "Forecast",
  describe: "observation, forecast and interval",
  cover(range, sample, view) {
    const ring = sample.ring;
    const seen = sample.extent([ring.column("observation")], 0, ring.column("rejected"));
    const [lower] = sample.extent([ring.column("lower")], 0.04);
    const [, upper] = sample.extent([ring.column("upper")], 0.04);
    const ends = [...seen, lower, upper];
    if (view.showsNewest) ends.push(ring.at("next_prediction", ring.high - 1));
    const known = ends.filter(Number.isFinite);
    range.cover(Math.min(...known), Math.max(...known));
  },
  draw(pen, box, sample, view) {
    const { theme } = view;
    const ring = sample.ring;
    const rejected = ring.column("rejected");
    fillBetween(pen, sample, ring.column("lower"), ring.column("upper"), box.toY, theme.band);
    const width = sample.close ? 1.6 : 2.2;
    strokeColumn(pen, sample, ring.column("prediction"), box.toY, theme.forecast, { width });
    strokeColumn(pen, sample, ring.column("observation"), box.toY, theme.observed, { width: 1, leaveOut: rejected });
    const { ctx } = pen.flush();
    this.marks(ctx, box, sample, view, true);
    if (sample.spacing > SPARSE) {
      for (let tick = sample.first; tick < sample.stop; tick++) {
        const y = box.toY(ring.at("observation", tick));
        if (Number.isFinite(y) && !ring.at("rejected", tick)) {
          disc(ctx, sample.toX(ring.xAt(tick)), y, Math.min(3, sample.spacing / 3), theme.observed);
        }
      }
    }
    this.refused(ctx, box, sample, theme);
    if (view.showsNewest) this.ahead(ctx, box, sample, view);
    this.marks(ctx, box, sample, view, false);
  },
  /** Ticks that the gate refused, at the edge where they lie outside. */
  refused(ctx, box, sample, theme) {
    const ring = sample.ring;
    const rejected = ring.column("rejected");
    let last = -10;
    for (let k = 0; k < sample.count; k++) {
      const place = (sample.first + k) % ring.capacity;
      if (rejected[place] !== 1 || sample.pixels[k] - last < 3) continue;
      const y = box.toY(ring.column("observation")[place]);
      if (!Number.isFinite(y)) continue;
      last = sample.pixels[k];
      cross(ctx, last, Math.max(box.top + 5, Math.min(box.bottom - 5, y)), 3, theme.alarm);
    }
  },
  /** The forecast of the tick that is yet to come. */
  ahead(ctx, box, sample, view) {
    const { theme } = view;
    const ring = sample.ring;
    const tick = ring.high - 1;
    const middle = ring.at("next_prediction", tick);
    if (!Number.isFinite(middle)) return;
    const now = sample.toX(ring.xAt(tick));
    const x = Math.min(Math.max(sample.toX(ring.xAt(tick) + ring.interval()), now + 12), sample.left + sample.width - 6);
    const ends = [ring.at("next_lower", tick), ring.at("next_upper", tick)].map((v) => within(box.toY(v)));
    straight(ctx, Math.round(now) + 0.5, box.top, Math.round(now) + 0.5, box.bottom, theme.grid);
    straight(ctx, x, ends[0], x, ends[1], theme.forecast, [], 1.5);
    for (const y of ends) straight(ctx, x - 4, y, x + 4, y, theme.forecast, [], 1.5);
    straight(ctx, now, box.toY(ring.at("observation", tick)), x, box.toY(middle), theme.forecast, [2, 2], 1);
    disc(ctx, x, box.toY(middle), 3.6, theme.background, theme.forecast);
  },
  /** Alarms, and where the change behind each began: lines below the data, signs above it. */
  marks(ctx, box, sample, view, below) {
    const { theme } = view;
    const ring = sample.ring;
    const shown = ring.alarms.filter(({ tick }) => tick >= sample.first && sample.stop > tick);
    for (const { tick, onset } of shown) {
      const x = sample.toX(ring.xAt(tick));
      const began = Number.isFinite(onset) && onset >= ring.low ? sample.toX(ring.xAt(onset)) : null;
      if (below) {
        if (began !== null && 30 > shown.length) straight(ctx, began, box.top, began, box.bottom, ONSET, [3, 4]);
        continue;
      }
      if (began !== null) {
        const y2 = box.toY(ring.at("observation", onset));
        if (Number.isFinite(y2)) diamond(ctx, began, y2, 4.5, ONSET, theme.background);
      }
      const y = box.toY(ring.at("observation", tick));
      triangleDown(ctx, x, Math.max(box.top + 11, (Number.isFinite(y) ? y : box.top) - 6), 5.5, theme.alarm);
    }
  },
  items(row, view, range) {
    const { theme, meta } = view;
    const level = Number.isFinite(meta.confidence) ? `${Math.round(100 * meta.confidence)} % interval` : "interval";
    const between = (low, high) => Number.isFinite(low) ? `${reading(low, range)} to ${reading(high, range)}` : "-";
    return [
      { name: "observation", value: reading(row.observation, range), kind: "line", colour: theme.observed },
      { name: "forecast", value: reading(row.prediction, range), kind: "line", colour: theme.forecast },
      { name: level, value: between(row.lower, row.upper), kind: "band", colour: theme.band },
      { name: "next", value: reading(row.next_prediction, range), kind: "dot", colour: theme.forecast },
      { name: "alarm", kind: "triangle", colour: theme.alarm },
      { name: "change began", kind: "diamond", colour: ONSET }
    ];
  },
  points: (row, view) => [[row.observation, view.theme.observed], [row.prediction, view.theme.forecast]]
};
var weightsPanel = {
  key: "weights",
  share: 0.21,
  title: () => "Weights",
  describe: "share of each kernel in the forecast",
  cover: (range) => range.cover(0, 1, [0, 1]),
  draw(pen, box, sample, view) {
    const ring = sample.ring;
    const heaped = heap(sample, view.meta.kernels.map(({ name }) => ring.column(`weight_${name}`)));
    const colours = view.meta.kernels.map(({ colour }) => colour);
    fillHeap(pen, sample, heaped, box.toY, colours, view.theme.background);
    this.names(pen.ctx, box, heaped.xs, heaped.tops, view);
    flagSpans(sample, ring.column("degraded"), (from, to) => {
      pen.ctx.fillStyle = view.theme.text;
      pen.ctx.fillRect(from, box.top, Math.max(to - from, 1), 3);
    });
  },
  /** Each name inside its own band, as far to the right as it fits with room above and below. */
  names(ctx, box, xs, tops, view) {
    ctx.font = `600 ${view.small}px ${FONT}`;
    ctx.fillStyle = INK_ON_COLOUR;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    view.meta.kernels.forEach(({ label }, c) => {
      const half = ctx.measureText(label).width / 2 + 5;
      const spot = this.spot(box, xs, tops, c, half, view);
      if (spot) ctx.fillText(label, spot[0], spot[1] + 0.5);
    });
  },
  spot(box, xs, tops, c, half, view) {
    const needed = view.small + 4;
    const last = xs[xs.length - 1] - half;
    const stride = Math.max(12, (box.right - box.left) / 40);
    for (let centre = last; centre - half > box.left; centre -= stride) {
      let top = -Infinity;
      let bottom = Infinity;
      for (let i = xs.length - 1; i >= 0 && xs[i] >= centre - half; i--) {
        if (xs[i] > centre + half) continue;
        top = Math.max(top, box.toY(tops[c][i]));
        bottom = Math.min(bottom, box.toY(c ? tops[c - 1][i] : 0));
      }
      if (bottom - top >= needed) return [centre, (top + bottom) / 2];
    }
    return null;
  },
  items(row, view) {
    const made = view.meta.kernels.map(({ name, label, colour }) => ({
      name: label,
      value: percent(row[`weight_${name}`]),
      kind: "square",
      colour
    }));
    return [...made, { name: "held", kind: "line", colour: view.theme.text }];
  },
  points: () => []
};
var holderPanel = {
  key: "holder",
  share: 0.16,
  title: () => "Holder exponent",
  describe: "roughness of the path",
  cover(range, sample, view) {
    const [low, high] = sample.extent([sample.ring.column("holder_exponent")]);
    const threshold = view.meta.holder_threshold;
    range.cover(Math.min(low, threshold) - 0.02, Math.max(high, threshold) + 0.02);
  },
  draw(pen, box, sample, view) {
    const { theme, meta } = view;
    const { ratio } = pen;
    const ring = sample.ring;
    flagSpans(sample, ring.column("emergency"), (from, to) => {
      const wide = Math.max(1, Math.round((to - from) * ratio));
      pen.bar(Math.round(from * ratio), wide, box.top * ratio, box.bottom * ratio, theme.emergency);
    });
    const since = Math.min(ring.firstValid, sample.stop);
    strokeColumn(pen, sample, ring.column("holder_exponent"), box.toY, theme.forecast, { width: 1.5, since });
    const { ctx } = pen.flush();
    const y = Math.round(box.toY(meta.holder_threshold)) + 0.5;
    straight(ctx, box.left, y, box.right, y, theme.observed, DASH, 1.3);
  },
  items(row, view) {
    const { theme, meta } = view;
    const known = row.tick >= view.store.firstValid;
    return [
      { name: "exponent", value: known ? withStep(row.holder_exponent, 0.01) : "-", kind: "line", colour: theme.forecast },
      { name: "rough below", value: withStep(meta.holder_threshold, 0.01), kind: "dash", colour: theme.observed, fixed: true },
      { name: "emergency", value: row.emergency ? "yes" : "no", kind: "band", colour: theme.emergency }
    ];
  },
  points: (row, view) => row.tick >= view.store.firstValid ? [[row.holder_exponent, view.theme.forecast]] : []
};
var chartsPanel = {
  key: "charts",
  share: 0.2,
  title: (meta, narrow) => narrow ? "Alarm charts" : "Alarm charts, share of threshold",
  describe: "alarm charts as a share of their thresholds",
  /** Statistic over threshold, kept beside the ring's columns and brought up to date as ticks come. */
  shares(ring, meta) {
    ring.shares ??= meta.charts.map(() => new Float64Array(ring.capacity));
    if (ring.sharesFrom === void 0 || ring.sharesFrom > ring.high || ring.low > ring.sharesFrom) {
      ring.sharesFrom = ring.low;
    }
    meta.charts.forEach(({ name }, c) => {
      const statistic = ring.column(`chart_${name}`);
      const threshold = ring.column(`chart_threshold_${name}`);
      for (let tick = ring.sharesFrom; tick < ring.high; tick++) {
        const place = tick % ring.capacity;
        ring.shares[c][place] = threshold[place] > 0 ? statistic[place] / threshold[place] : NaN;
      }
    });
    ring.sharesFrom = ring.high;
    return ring.shares;
  },
  cover(range, sample, view) {
    const [, high] = sample.extent(this.shares(sample.ring, view.meta));
    range.cover(0, Math.min(Math.max(1.12, Number.isFinite(high) ? high : 0), 4), [0, null]);
  },
  draw(pen, box, sample, view) {
    const { theme, meta } = view;
    const shares = this.shares(sample.ring, meta);
    const y = Math.round(box.toY(1)) + 0.5;
    meta.charts.forEach(({ colour }, c) => strokeColumn(pen, sample, shares[c], box.toY, colour));
    const { ctx } = pen.flush();
    straight(ctx, box.left, y, box.right, y, theme.alarm, DASH, 1.3);
    for (const { tick } of sample.ring.alarms) {
      if (tick >= sample.first && sample.stop > tick) {
        triangleDown(ctx, sample.toX(sample.ring.xAt(tick)), y - 1, 4.5, theme.alarm);
      }
    }
  },
  items(row, view) {
    const made = view.meta.charts.map(({ name, colour }) => ({
      name,
      value: percent(row[`chart_${name}`] / row[`chart_threshold_${name}`]),
      kind: "line",
      colour
    }));
    return [...made, { name: "alarm at", value: "100 %", kind: "dash", colour: view.theme.alarm, fixed: true }];
  },
  points: (row, view) => view.meta.charts.map(({ name, colour }) => [row[`chart_${name}`] / row[`chart_threshold_${name}`], colour])
};
var PANELS = [forecastPanel, weightsPanel, holderPanel, chartsPanel];

// live/pen.js
var parsedColours = /* @__PURE__ */ new Map();
function parsed(colour) {
  let found = parsedColours.get(colour);
  if (!found) {
    const hex = colour.startsWith("#");
    const parts = hex ? [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)) : colour.match(/[\d.]+/g).map(Number);
    const [red, green, blue, alpha = 1] = parts;
    found = { red, green, blue, alpha, word: (4278190080 | blue << 16 | green << 8 | red) >>> 0 };
    parsedColours.set(colour, found);
  }
  return found;
}
var Pen = class {
  constructor(ctx, ratio) {
    this.ctx = ctx;
    this.ratio = ratio;
    this.sheets = /* @__PURE__ */ new Map();
  }
  /** Begin a panel: its ground, and the lines of its grid at places given in CSS pixels. */
  begin(box, theme, across, upright) {
    const { ratio } = this;
    this.left = Math.round(box.left * ratio);
    this.top = Math.round(box.top * ratio);
    this.wide = Math.max(1, Math.round(box.right * ratio) - this.left);
    this.high = Math.max(1, Math.round(box.bottom * ratio) - this.top);
    const key = `${box.key} ${this.wide} ${this.high}`;
    if (!this.sheets.has(key)) {
      if (this.sheets.size > 12) this.sheets.clear();
      const image2 = this.ctx.createImageData(this.wide, this.high);
      this.sheets.set(key, { image: image2, words: new Uint32Array(image2.data.buffer) });
    }
    const { image, words } = this.sheets.get(key);
    this.image = image;
    this.words = words;
    this.fresh = true;
    words.fill(parsed(theme.background).word);
    const grid = parsed(theme.grid).word;
    for (const y of across) {
      const row = Math.floor(y * ratio) - this.top;
      if (row >= 0 && this.high > row) words.fill(grid, row * this.wide, (row + 1) * this.wide);
    }
    for (const x of upright) {
      const at = Math.floor(x * ratio) - this.left;
      if (at >= 0 && this.wide > at) for (let p = at; p < words.length; p += this.wide) words[p] = grid;
    }
  }
  /** An upright bar `wide` device pixels wide from height y0 down to y1 [device pixels]; its ends are softened. */
  bar(x, wide, y0, y1, colour) {
    const ink = parsed(colour);
    const from = Math.max(0, x - this.left);
    const to = Math.min(this.wide, x - this.left + wide);
    const top = Math.max(0, y0 - this.top);
    const bottom = Math.min(this.high, y1 - this.top);
    if (!(bottom > top) || from >= to) return;
    const first = Math.floor(top);
    const last = Math.min(Math.ceil(bottom), this.high) - 1;
    for (let row = first; row <= last; row++) {
      const covered = (Math.min(bottom, row + 1) - Math.max(top, row)) * ink.alpha;
      const start = row * this.wide;
      for (let at = start + from; at < start + to; at++) {
        if (covered > 0.996) this.words[at] = ink.word;
        else this.words[at] = mixed(this.words[at], ink, covered);
      }
    }
  }
  /** Bring what was written to the canvas; once for each panel, before anything is drawn over it. */
  flush() {
    if (this.fresh) this.ctx.putImageData(this.image, this.left, this.top);
    this.fresh = false;
    return this;
  }
};
function mixed(word, ink, share) {
  const rest = 1 - share;
  const red = (word & 255) * rest + ink.red * share;
  const green = (word >> 8 & 255) * rest + ink.green * share;
  const blue = (word >> 16 & 255) * rest + ink.blue * share;
  return (4278190080 | blue << 16 | green << 8 | red) >>> 0;
}

// live/words.js
var capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
function ranked(values) {
  return values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
}
function reasonOf(row, meta) {
  const phrase = meta.phrases?.[String(row.reason)];
  if (!phrase) return "";
  const weight = meta.kernels.map(({ name }) => row[`weight_${name}`]);
  const target = meta.kernels.map(({ name }) => row[`target_weight_${name}`]);
  const missing = target.map((wanted2, k) => Number.isFinite(wanted2) ? wanted2 - weight[k] : -Infinity);
  const order = ranked(weight);
  const wanted = ranked(missing)[0];
  const label = (k) => meta.kernels[k].label;
  const filled = {
    leader: label(order[0]),
    share: percent(weight[order[0]]),
    runner_up: label(order[1]),
    runner_share: percent(weight[order[1]]),
    target: label(wanted),
    target_share: percent(target[wanted]),
    target_has: percent(weight[wanted]),
    chart: meta.charts[row.alarm_chart]?.name ?? ""
  };
  return capital(phrase.replace(/\{(\w+)\}/g, (_, name) => filled[name] ?? ""));
}
function whenOf(row, meta) {
  const tick = `tick ${grouped(row.tick)}`;
  return meta.has_times ? `${instant(row.time)} UTC, ${tick}` : tick;
}
function chartName(code, meta) {
  return meta.charts[code]?.name ?? "level";
}
function summaryOf(row, status, meta, range) {
  const level = Number.isFinite(meta.confidence) ? `${Math.round(100 * meta.confidence)} %` : "";
  const parts = [`${capital(whenOf(row, meta))}: observation ${reading(row.observation, range)}.`];
  if (Number.isFinite(row.next_prediction)) {
    const [low, high] = [reading(row.next_lower, range), reading(row.next_upper, range)];
    parts.push(`Next forecast ${reading(row.next_prediction, range)}, ${level} interval ${low} to ${high}.`);
  }
  if (row.alarm) parts.push(`Alarm of the ${chartName(row.alarm_chart, meta)} chart.`);
  parts.push(reasonOf(row, meta));
  if (status.phase && status.phase !== "running") parts.push(`${capital(status.phase)}.`);
  return parts.join(" ");
}

// live/paint.js
var GAP = 7;
var RIGHT = 10;
var AXIS = 22;
var OVERVIEW = 16;
function boxesOf(view) {
  const headHeight = view.narrow ? 18 : 20;
  const room = view.height - AXIS - OVERVIEW - 6 - PANELS.length * headHeight - (PANELS.length - 1) * GAP;
  let y = 2;
  return PANELS.map((panel) => {
    const box = { key: panel.key, head: y, headHeight, top: y + headHeight, left: view.gutter, right: view.width - RIGHT };
    box.bottom = box.top + Math.floor(room * panel.share);
    y = box.bottom + GAP;
    return box;
  });
}
function settleGutter(ctx, view, boxes) {
  ctx.font = `${view.small}px ${FONT}`;
  let widest = 0;
  for (const box of boxes) {
    const { step, values } = box.ticks;
    for (const value of values) widest = Math.max(widest, ctx.measureText(withStep(value, step)).width);
  }
  const needed = Math.ceil((widest + 14) / 8) * 8;
  if (needed > view.gutter || view.gutter - needed >= 16) view.gutter = Math.max(needed, view.narrow ? 32 : 40);
  for (const box of boxes) box.left = view.gutter;
}
function drawPlots(view) {
  const ctx = view.plots.getContext("2d", { alpha: false });
  const { theme, ranges } = view;
  ctx.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  ctx.fillStyle = theme.background;
  ctx.fillRect(0, 0, view.width, view.height);
  view.stretch.settle(view.width - view.gutter - RIGHT);
  const boxes = view.boxes = boxesOf(view);
  const store = view.store;
  const sample = view.sample = new Sample(store, view.stretch.x0, view.stretch.x1);
  PANELS.forEach((panel, i) => {
    const box = boxes[i];
    const range = ranges[panel.key];
    if (sample.count) panel.cover(range, sample, view);
    else range.cover(NaN, NaN);
    box.ticks = range.ticks((box.bottom - box.top) / (view.narrow ? 30 : 34));
    box.toY = (value) => box.bottom - (value - range.low) / (range.high - range.low) * (box.bottom - box.top);
  });
  settleGutter(ctx, view, boxes);
  sample.place(boxes[0].left, boxes[0].right - boxes[0].left);
  const across = axisTicks(view, sample);
  if (view.pen?.ratio !== view.ratio) view.pen = new Pen(ctx, view.ratio);
  const upright = across.ticks.map(({ x }) => sample.toX(x));
  PANELS.forEach((panel, i) => {
    const { ticks, toY } = boxes[i];
    view.pen.begin(boxes[i], theme, ticks.values.map(toY), upright);
    if (!sample.count) view.pen.flush();
    ctx.save();
    ctx.beginPath();
    ctx.rect(boxes[i].left, boxes[i].top, boxes[i].right - boxes[i].left, boxes[i].bottom - boxes[i].top);
    ctx.clip();
    if (sample.count) panel.draw(view.pen, boxes[i], sample, view);
    ctx.restore();
    drawFrame(ctx, boxes[i], view, sample);
  });
  drawTimeAxis(ctx, boxes[boxes.length - 1], across, view, sample);
  drawOverview(ctx, boxes[boxes.length - 1], view);
  if (!sample.count) drawWaiting(ctx, boxes[0], view);
}
function axisTicks(view, sample) {
  const most = Math.max(2, Math.floor(sample.width / (view.narrow ? 72 : 96)));
  const find = view.meta.has_times ? timeTicks : countTicks;
  return sample.count ? find(sample.x0, sample.x1, most) : { step: 1, ticks: [] };
}
function drawFrame(ctx, box, view, sample) {
  const { theme } = view;
  ctx.font = `${view.small}px ${FONT}`;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.fillStyle = theme.muted;
  for (const value of sample.count ? box.ticks.values : []) {
    const y = box.toY(value);
    if (y > box.bottom + 1 || box.top - 1 > y) continue;
    ctx.fillText(withStep(value, box.ticks.step), box.left - 6, Math.min(y, box.bottom - 3));
  }
  straight(ctx, box.left + 0.5, box.top, box.left + 0.5, box.bottom, theme.axis);
  straight(ctx, box.left, box.bottom + 0.5, box.right, box.bottom + 0.5, theme.axis);
}
function drawTimeAxis(ctx, box, across, view, sample) {
  const { theme } = view;
  const y = box.bottom + 13;
  ctx.font = `${view.small}px ${FONT}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const name = view.meta.has_times ? "UTC" : "tick";
  const nameAt = box.right - ctx.measureText(name).width;
  ctx.fillStyle = theme.muted;
  ctx.fillText(name, nameAt, y);
  let free = box.left - view.gutter + 2;
  const context = view.meta.has_times && sample.count ? contextOf(across, sample.x0) : "";
  if (context) {
    ctx.fillText(context, free, y);
    free += ctx.measureText(context).width + 10;
  }
  ctx.textAlign = "center";
  for (const { x, text } of across.ticks) {
    const at = sample.toX(x);
    const half = ctx.measureText(text).width / 2;
    if (at - half < free || at + half > nameAt - 8) continue;
    free = at + half + 10;
    straight(ctx, Math.round(at) + 0.5, box.bottom, Math.round(at) + 0.5, box.bottom + 4, theme.axis);
    ctx.fillStyle = view.meta.has_times && x % DAY === 0 && DAY > across.step ? theme.text : theme.muted;
    ctx.fillText(text, at, y);
  }
}
function contextOf(across, x0) {
  const { step, ticks } = across;
  if (DAY > step && !ticks.some(({ x }) => x % DAY === 0)) return instant(Math.floor(x0 / DAY) * DAY, DAY);
  const named = ticks.some(({ text }) => /^\d{4}$/.test(text));
  return step >= 12 * 28 * DAY || named ? "" : String(new Date(x0).getUTCFullYear());
}
function drawOverview(ctx, box, view) {
  const { theme } = view;
  const { ring } = view.link;
  const bar = { left: box.left, right: box.right, top: box.bottom + AXIS + 4, bottom: box.bottom + AXIS + OVERVIEW - 2 };
  view.overview = bar;
  const width = bar.right - bar.left;
  const toX = (tick) => bar.left + tick / Math.max(ring.high - 1, 1) * width;
  ctx.fillStyle = theme.raised;
  ctx.fillRect(bar.left, bar.top, width, bar.bottom - bar.top);
  const { sample } = view;
  if (!ring.count || !sample.count) return;
  const from = toX(sample.first);
  const to = Math.max(toX(sample.stop - 1), from + 6);
  ctx.fillStyle = theme.band;
  ctx.fillRect(from, bar.top, to - from, bar.bottom - bar.top);
  ctx.fillStyle = theme.alarm;
  for (const { tick } of ring.alarms) ctx.fillRect(Math.round(toX(tick)) - 0.5, bar.top + 1, 1.5, bar.bottom - bar.top - 2);
  ctx.strokeStyle = theme.forecast;
  ctx.lineWidth = 1;
  ctx.strokeRect(from + 0.5, bar.top + 0.5, Math.max(to - from - 1, 4), bar.bottom - bar.top - 1);
}
function drawWaiting(ctx, box, view) {
  ctx.font = `14px ${FONT}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = view.theme.muted;
  const { phase, message } = view.link.status;
  const starts = phase === "starting" || phase === "running";
  const text = starts ? capital(message || "the first ticks are on their way") : "No ticks yet. Press play.";
  ctx.fillText(text, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
}
function drawOver(view) {
  const ctx = view.over.getContext("2d");
  ctx.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  ctx.clearRect(0, 0, view.width, view.height);
  const { boxes, sample, theme, meta } = view;
  if (!boxes || !sample) return;
  const row = view.shownRow;
  const items = PANELS.map((panel) => row ? panel.items(row, view, view.ranges[panel.key]) : []);
  PANELS.forEach((panel, i) => {
    drawHead(ctx, boxes[i], panel.title(meta, view.narrow), items[i], view, !view.narrow);
  });
  const crosshair = view.crosshair;
  if (row && crosshair !== null && row.tick === crosshair) drawCrosshair(ctx, view, row);
  if (view.brushed) {
    ctx.fillStyle = theme.band;
    const [from, to] = view.brushed;
    ctx.fillRect(from, boxes[0].top, to - from, boxes[boxes.length - 1].bottom - boxes[0].top);
  }
  showTexts(view, row, items);
}
function drawHead(ctx, box, title, items, view, withValues) {
  const { theme, small } = view;
  const middle = box.head + box.headHeight / 2;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.font = `600 ${small}px ${FONT}`;
  ctx.fillStyle = theme.text;
  ctx.fillText(title, box.left, middle);
  let x = box.left + view.measured(ctx, title) + 16;
  ctx.font = `${small}px ${FONT}`;
  for (const item of items) {
    const name = view.measured(ctx, item.name);
    const value = withValues && item.value ? view.widthOf(ctx, `${box.key}.${item.name}`, item.value) : 0;
    const width = 17 + name + (value ? value + 5 : 0);
    if (x + width > box.right) continue;
    swatch(ctx, item.kind, x, middle, item.colour, theme);
    ctx.fillStyle = theme.muted;
    ctx.fillText(item.name, x + 17, middle);
    if (value) {
      ctx.fillStyle = theme.text;
      ctx.fillText(item.value, x + 17 + name + 5, middle);
    }
    x += width + 14;
  }
}
function plate(ctx, text, x, y, left, right, view) {
  ctx.font = `${view.small}px ${FONT}`;
  const half = ctx.measureText(text).width / 2 + 7;
  const centre = Math.max(left + half, Math.min(right - half, x));
  ctx.fillStyle = view.theme.text;
  ctx.beginPath();
  ctx.roundRect(centre - half, y - 9, 2 * half, 18, 4);
  ctx.fill();
  ctx.fillStyle = view.theme.background;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, centre, y + 0.5);
}
function drawCrosshair(ctx, view, row) {
  const { boxes, sample, theme } = view;
  const store = view.store;
  const at = store.xAt(row.tick);
  const x = sample.toX(at);
  if (x < sample.left - 1 || x > sample.left + sample.width + 1) return;
  const line = Math.round(x) + 0.5;
  PANELS.forEach((panel, i) => {
    const box = boxes[i];
    straight(ctx, line, box.top, line, box.bottom, theme.cross, view.pinned === null ? [3, 3] : []);
    for (const [value, colour] of panel.points(row, view)) {
      const y = box.toY(value);
      if (y >= box.top - 1 && box.bottom + 1 >= y) disc(ctx, x, y, 3.5, colour, theme.background);
    }
  });
  plate(ctx, whenOf(row, view.meta), x, boxes[boxes.length - 1].bottom + 13, 2, view.width - 2, view);
}
function showTexts(view, row, items) {
  const { readings, reason, meta } = view;
  const label = `${meta.title || "Series"}, live view. Question mark lists the keys.`;
  if (view.label !== label) view.root.setAttribute("aria-label", view.label = label);
  const why = row ? reasonOf(row, meta) : "";
  put(reason, why);
  readings.hidden = !view.narrow || !row;
  if (readings.hidden) return;
  const flat = [{ name: "at", value: whenOf(row, meta) }, ...items.flat().filter(({ value, fixed }) => value && !fixed)];
  while (readings.children.length > flat.length) readings.lastChild.remove();
  flat.forEach(({ name, value, colour }, i) => {
    let line = readings.children[i];
    if (!line) readings.append(line = node("div", "", {}, [node("span", "uspnb-name"), node("span", "uspnb-value")]));
    put(line.firstChild, name);
    line.style.setProperty("--sign", colour ?? "transparent");
    put(line.lastChild, value);
  });
}

// live/toolbar.js
var SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, null];
var KEYS = [
  ["Space", "play or pause"],
  ["Right arrow", "one tick on: at the newest tick a paused series takes a step, else the crosshair moves"],
  ["Left arrow", "one tick back"],
  ["Shift with an arrow", "ten ticks"],
  ["Home, End", "the first tick, the newest tick"],
  ["+ and -", "faster, slower"],
  ["F", "follow the newest tick"],
  ["E", "export the session"],
  ["S", "snapshot of the session"],
  ["P", "save the picture"],
  ["0", "show everything again"],
  ["Esc", "take the crosshair away, close this list"]
];
var POINTER = [
  ["Move", "readings of every panel"],
  ["Click", "pin the crosshair, or free it"],
  ["Drag", "move through time"],
  ["Shift and drag", "zoom to that stretch"],
  ["Wheel", "zoom, once the view has been clicked (or with Ctrl)"],
  ["Double click", "show everything again"]
];
var button = (label, sign, pressed) => iconButton("uspnb-button", label, sign, pressed);
var Toolbar = class {
  /** @param act what the buttons do: toggle, step, slower, faster, follow, picture, export, help. */
  constructor(act) {
    this.play = button("Play", "play", act.toggle);
    this.step = button("Step one tick", "step", act.step);
    this.slower = button("Slower", "slower", act.slower);
    this.faster = button("Faster", "faster", act.faster);
    this.speed = node("span", "uspnb-speed");
    this.follow = button("Follow the newest tick", "follow", act.follow);
    this.phase = node("span", "uspnb-phase");
    this.count = node("span", "uspnb-count");
    this.mode = node("span", "uspnb-mode");
    this.picture = button("Save picture", "picture", act.picture);
    this.export = button("Export session", "export", act.export);
    this.help = button("Keyboard help", "?", act.help);
    const group = (...items) => node("div", "uspnb-group", {}, items);
    const pace = group(this.slower, this.speed, this.faster);
    const state = node("div", "uspnb-state", {}, [this.phase, this.mode, this.count]);
    this.element = node("div", "uspnb-toolbar", { role: "toolbar", "aria-label": "Controls of the live view" }, [
      group(this.play, this.step),
      pace,
      group(this.follow),
      state,
      group(this.picture, this.export, this.help)
    ]);
  }
  show(status, meta, follows) {
    const runs = status.phase === "running" || status.phase === "starting";
    relabel(this.play, runs ? "Pause" : "Play", runs ? "pause" : "play");
    const over = status.phase === "closed" || !meta.controls;
    this.play.disabled = over || status.phase === "finished" && !runs;
    this.step.disabled = over || runs || status.phase === "finished";
    this.slower.disabled = over || meta.live || status.speed === SPEEDS[0];
    this.faster.disabled = over || meta.live || status.speed === null || status.speed === void 0;
    this.speed.textContent = meta.live ? "live" : speedText(status.speed);
    this.follow.setAttribute("aria-pressed", String(follows));
    this.phase.textContent = status.phase ?? "waiting";
    this.phase.dataset.phase = status.phase ?? "new";
    const mode = status.emergency ? "emergency" : status.degraded ? "weights held" : "";
    this.mode.textContent = mode;
    this.mode.hidden = !mode;
    this.count.textContent = countText(status);
  }
};
function speedText(speed) {
  return speed === null || speed === void 0 ? "max" : `${grouped(speed)}/s`;
}
function countText(status) {
  if (!Number.isFinite(status.ticks)) return "";
  const of = Number.isFinite(status.total) ? ` of ${grouped(status.total)}` : "";
  const rate = status.phase === "running" && status.rate > 0 ? ` \xB7 ${grouped(status.rate)}/s` : "";
  return `${grouped(status.ticks)}${of} ticks${rate}`;
}
function keyTable(title, rows) {
  const lines = rows.map(
    ([key, what]) => node("tr", "", {}, [node("th", "", { scope: "row" }, [key]), node("td", "", {}, [what])])
  );
  return node("table", "", {}, [node("caption", "", {}, [title]), node("tbody", "", {}, lines)]);
}
var Help = class {
  constructor(root) {
    this.root = root;
    this.close = button("Close help", "\u2715", () => this.toggle(false));
    this.element = node("div", "uspnb-help", { role: "dialog", "aria-modal": "true", "aria-label": "Keyboard help" }, [
      this.close,
      node("div", "uspnb-help-tables", { tabindex: "0", role: "region", "aria-label": "List of keys" }, [
        keyTable("Keys", KEYS),
        keyTable("Pointer", POINTER)
      ])
    ]);
    this.element.hidden = true;
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Tab") return;
      event.preventDefault();
      const inside = [this.close, this.element.querySelector(".uspnb-help-tables")];
      inside[inside[0] === this.root.getRootNode().activeElement ? 1 : 0].focus();
    });
  }
  get open() {
    return !this.element.hidden;
  }
  toggle(open = !this.open) {
    if (open === this.open) return;
    this.element.hidden = !open;
    if (open) {
      this.before = this.root.getRootNode().activeElement;
      this.close.focus();
    } else (this.before ?? this.root).focus();
  }
};

// live/view.js
var NARROW = 640;
var SUMMARY_MS = 5e3;
var READINGS_MS = 100;
var View = class {
  constructor(link, el) {
    this.link = link;
    this.stretch = new Stretch(this);
    this.ranges = Object.fromEntries(PANELS.map(({ key }) => [key, new ValueRange(key === "charts" ? 0.4 : 0.55)]));
    this.widths = /* @__PURE__ */ new Map();
    this.measures = /* @__PURE__ */ new Map();
    this.gutter = 48;
    this.pointer = this.pinned = this.brushed = null;
    this.stale = { plots: true, over: true };
    this.states = 0;
    this.summaryAt = this.overAt = 0;
    this.build(el);
    this.restyle();
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.stage);
    this.unwatch = watchTheme(() => this.restyle());
    listenPointer(this);
    listenKeys(this);
    link.attach(this);
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
      follow: () => this.stretch.follow ? this.stretch.leave() : this.toNewest(),
      picture: () => this.savePicture(),
      export: () => link.command("export"),
      help: () => this.help.toggle()
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
      this.toolbar.element,
      this.banner,
      this.stage,
      this.readings,
      this.reason,
      this.notice,
      this.help.element,
      this.spoken
    );
    this.root.setAttribute("aria-roledescription", "live chart");
    this.root.uspnb = { delays: link.delays, stamps: link.stamps, link, view: this };
    el.append(this.root);
  }
  get meta() {
    return this.link.meta;
  }
  get mostRows() {
    return this.meta.rows || 1e4;
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
    if (this.width > 0) this.draw();
  }
  destroy() {
    this.observer.disconnect();
    this.unwatch();
    this.link.detach(this);
    cancelAnimationFrame(this.asked);
    clearTimeout(this.noticeTimer);
    clearTimeout(this.later);
    this.root.remove();
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
    this.noticeTimer = setTimeout(() => this.notice.hidden = true, 6e3);
  }
  /** The width of a text that is written often. */
  measured(ctx, text) {
    const key = `${ctx.font}|${text}`;
    let width = this.measures.get(key);
    if (width === void 0) {
      if (this.measures.size > 2e3) this.measures.clear();
      this.measures.set(key, width = ctx.measureText(text).width);
    }
    return width;
  }
  /** Room for a reading that grows as needed and never shrinks, so that heads do not dance. */
  widthOf(ctx, key, text) {
    const needed = Math.ceil(this.measured(ctx, text.replace(/[0-9]/g, "0")) / 6) * 6;
    const kept = Math.max(this.widths.get(key) ?? 0, needed);
    this.widths.set(key, kept);
    return kept;
  }
  // -- drawing ----------------------------------------------------------------------------------------------------
  /** Draw soon; readings that only follow the newest tick change ten times a second at most, to be readable. */
  redraw(plots = true, over = true) {
    this.stale.plots ||= plots;
    this.stale.over ||= over;
    this.asked ??= requestAnimationFrame(() => this.draw());
  }
  draw() {
    cancelAnimationFrame(this.asked);
    this.asked = void 0;
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
        this.later = void 0;
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
};
var view_default = widgetOf(LiveLink, View);
export {
  view_default as default
};
