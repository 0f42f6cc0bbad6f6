// shared/elements.js
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
async function copy(element, text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    window.getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
function saveAs(href, download) {
  const link = h("a", { href, download });
  document.body.append(link);
  link.click();
  link.remove();
}

// shared/format.js
var SECOND = 1e3;
var MINUTE = 60 * SECOND;
var HOUR = 60 * MINUTE;
var DAY = 24 * HOUR;
var DASH = "\u2013";
var padded = (part2, digits = 2) => String(part2).padStart(digits, "0");
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
function brief(value) {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  if (!Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return value.toLocaleString("en");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}
function signedPercent(change, most = Infinity) {
  if (!Number.isFinite(change)) return DASH;
  return `${change > 0 ? "+" : ""}${Math.abs(change) > most ? "> 999" : (100 * change).toFixed(1)} %`;
}
var spaced = (name) => name.replaceAll("_", " ");
function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${padded(minutes)}:${padded(whole % 60)}` : `${minutes}:${padded(whole % 60)}`;
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

// tuning/board.js
var share = (value) => Number.isFinite(value) ? `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %` : DASH;
function part(name, title, children) {
  return node("section", `part ${name}`, { "aria-label": title }, [node("h3", "", {}, [title]), ...children]);
}
var ImportanceBars = class {
  constructor() {
    this.note = node("p", "note");
    this.list = node("ul", "bars");
    this.element = part("importance", "Importance", [this.note, this.list]);
  }
  show({ evaluator, note, bars = [] }) {
    put(this.note, bars.length ? `How much each parameter matters for a low value (${evaluator}).` : `Not yet: ${note || "no trial is complete"}.`);
    const most = Math.max(...bars.map((bar) => bar.share), 1e-12);
    this.list.replaceChildren(...bars.map(({ name, share: part2, meaning }) => {
      const fill = node("i");
      fill.style.width = `${Math.max(0, 100 * part2 / most).toFixed(1)}%`;
      const label = node("span", "bar-name", { title: meaning || spaced(name) }, [spaced(name)]);
      return node("li", "", {}, [label, node("span", "bar", { "aria-hidden": "true" }, [fill]), node("span", "bar-share", {}, [share(part2)])]);
    }));
  }
};
var BestTable = class {
  constructor() {
    this.note = node("p", "note");
    this.verdict = node("p", "note", { role: "status" });
    this.body = node("tbody");
    this.heads = node("tr");
    this.table = node("table", "", {}, [
      node("caption", "unseen", {}, ["The best configuration against the default"]),
      node("thead", "", {}, [this.heads]),
      this.body
    ]);
    this.box = node("div", "scroll", { role: "region", tabindex: "0", "aria-label": "Best against default" }, [this.table]);
    this.element = part("best", "Best so far against default", [this.note, this.verdict, this.box]);
  }
  /** The table; with a column of what is recommended, where that is something else than the best trial. */
  show({ rows = [], told }, { recommendation = "", recommended = {} }) {
    put(this.note, told || "No trial is complete yet.");
    put(this.verdict, recommendation ? `Recommendation: ${recommendation}.` : "");
    const apart = Object.keys(recommended).length > 0;
    const heads = ["Parameter", "Default", "Best", "Change", ...apart ? ["Recommended"] : []];
    this.heads.replaceChildren(...heads.map((text) => node("th", "", { scope: "col" }, [text])));
    this.box.hidden = !rows.length;
    this.body.replaceChildren(...rows.map((row) => {
      const unit = row.unit ? ` ${row.unit}` : "";
      const change = typeof row.change === "number" ? signedPercent(row.change) : row.change || "same";
      const name = node("th", "", { scope: "row", title: row.meaning || "" }, [spaced(row.name)]);
      const cells = [`${brief(row.default)}${unit}`, `${brief(row.best)}${unit}`, change];
      if (apart) cells.push(`${brief(recommended[row.name])}${unit}`);
      return node("tr", change === "same" ? "same" : "", {}, [name, ...cells.map((text) => node("td", "", {}, [text]))]);
    }));
  }
};
var Failures = class {
  constructor() {
    this.summary = node("summary");
    this.list = node("ul", "reasons", { tabindex: "0", "aria-label": "Failed trials" });
    this.element = node("details", "failures", {}, [this.summary, this.list]);
    this.element.hidden = true;
  }
  show({ total = 0, rows = [] }) {
    this.element.hidden = !total;
    const left = total > rows.length ? `, the newest ${rows.length} of them` : "";
    put(this.summary, `${total} failed ${total === 1 ? "trial" : "trials"} with reasons${left}`);
    this.list.replaceChildren(...rows.map(({ number, reason }) => node("li", "", {}, [`Trial ${number}: ${reason}`])));
  }
};
var CampaignCode = class {
  constructor() {
    this.code = node("pre", "code", { tabindex: "0", "aria-label": "The campaign as Python code" });
    this.said = node("span", "note", { role: "status" });
    this.press = node("button", "press", { type: "button", title: "Copy the campaign as Python code" }, ["Copy as code"]);
    this.press.addEventListener("click", async () => put(this.said, await copy(this.code, this.code.textContent) ? "copied" : "selected: press Ctrl+C"));
    const summary = node("summary", "", {}, ["The campaign as code"]);
    this.element = node("div", "coding", {}, [
      node("div", "line", {}, [this.press, this.said]),
      node("details", "", {}, [summary, this.code])
    ]);
  }
  show(code) {
    put(this.code, code || "");
    this.press.disabled = !code;
    put(this.said, "");
  }
};
var Applying = class {
  constructor(command) {
    this.command = command;
    this.path = node("input", "field", { type: "text", spellcheck: false, autocomplete: "off", value: "config.toml" });
    this.where = node("label", "labelled", {}, [node("span", "", {}, ["Configuration file"]), this.path]);
    const choices = [["recommended", "what is recommended"], ["best", "the best trial"]];
    this.which = node("select", "field", {}, choices.map(([value, text]) => node("option", "", { value }, [text])));
    this.what = node("label", "labelled", {}, [node("span", "", {}, ["Settings"]), this.which]);
    this.beyond = node("input", "", { type: "checkbox" });
    this.limit = node("label", "only", {}, [this.beyond, "allow changes beyond the limit this once"]);
    this.apply = node("button", "press", { type: "button" }, ["Apply"]);
    this.undo = node("button", "press", { type: "button", title: "Put the file back as it was before" }, ["Undo"]);
    this.said = node("p", "said", { role: "status", hidden: true });
    this.about = node("p", "note");
    this.element = part("applying", "Apply", [
      this.about,
      this.what,
      this.where,
      this.limit,
      node("div", "line", {}, [this.apply, this.undo]),
      this.said
    ]);
    this.apply.addEventListener("click", () => command(this.writes === "download" ? "toml" : "apply", { path: this.path.value, which: this.which.value, beyond: this.beyond.checked }));
    this.undo.addEventListener("click", () => command("undo", { path: this.path.value }));
  }
  begin({ writes = "file", path = "config.toml" }) {
    this.writes = writes;
    if (writes === "file") this.path.value = path;
    this.where.hidden = writes !== "file";
    this.limit.hidden = this.undo.hidden = writes === "download";
    put(this.apply, writes === "file" ? "Apply" : writes === "fixed" ? `Apply to ${path}` : "Download as TOML");
    put(this.about, writes === "download" ? "A whole configuration as a file; the server was started without --config, so nothing is written there." : "Writes the values into the file, keeps a backup, and logs the change.");
  }
  show({ ready, undoable, busy }) {
    this.apply.disabled = !ready || busy;
    this.undo.disabled = !undoable || busy;
    this.apply.title = ready ? "" : "nothing to apply: no trial is better than the default yet";
  }
  reply({ kind, text = "" }) {
    put(this.said, text);
    this.said.hidden = !text;
    this.said.className = kind === "refused" ? "said refused" : "said";
    this.said.setAttribute("role", kind === "refused" ? "alert" : "status");
  }
};
function saveText(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
  saveAs(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 1e4);
}

// shared/canvas.js
var FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Ubuntu, 'Noto Sans', sans-serif";
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
function countTicks(low, high, most) {
  const step = Math.max(1, roundUp((high - low) / Math.max(most, 1)));
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    if (at >= 0) found.push({ x: at, text: grouped(at) });
  }
  return { step, ticks: found };
}

// tuning/chart.js
var REACH_PX = 28;
var LANE_PX = 18;
var BEST_LINE = "#14a37f";
function drawMark(pen, state, x, y, look) {
  if (state === "complete") return disc(pen, x, y, 3.4, look.forecast);
  if (state === "failed") return cross(pen, x, y, 3.6, look.alarm, 1.6);
  pen.beginPath();
  if (state === "pruned") {
    pen.moveTo(x, y - 4);
    pen.lineTo(x + 4, y + 3);
    pen.lineTo(x - 4, y + 3);
    pen.closePath();
  } else pen.rect(x - 3, y - 3, 6, 6);
  pen.lineWidth = 1.6;
  pen.strokeStyle = state === "pruned" ? look.muted : look.forecast;
  pen.stroke();
}
function drawAbove(pen, x, y, colour) {
  pen.beginPath();
  pen.lineWidth = 1.2;
  pen.strokeStyle = colour;
  pen.moveTo(x - 4, y - 5);
  pen.lineTo(x, y - 9);
  pen.lineTo(x + 4, y - 5);
  pen.stroke();
}
function valueSpan(values, usual) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return Number.isFinite(usual) ? [usual, usual] : [NaN, NaN];
  const known = Number.isFinite(usual);
  const low = Math.min(sorted[0], known ? usual : Infinity);
  const field = Math.max(sorted[Math.floor(0.8 * (sorted.length - 1))], known ? usual : -Infinity);
  return [low, Math.min(sorted[sorted.length - 1], field + 0.6 * (field - low)) || low];
}
var TrialChart = class {
  constructor(tell) {
    this.tell = tell;
    this.range = new ValueRange(0.35);
    this.places = [];
    this.at = -1;
    this.canvas = node("canvas", "plot", { "aria-hidden": "true" });
    this.ring = node("div", "ring", { "aria-hidden": "true" });
    this.tip = node("div", "tip", { "aria-hidden": "true" });
    this.empty = node("p", "empty");
    this.ring.hidden = this.tip.hidden = true;
    this.element = node("div", "chart", { role: "slider", "aria-label": "Trials", "aria-orientation": "horizontal" }, [
      this.canvas,
      this.ring,
      this.tip,
      this.empty
    ]);
    this.listen();
  }
  listen() {
    const { element } = this;
    element.addEventListener("pointermove", (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.show(this.nearest(event.clientX - box.left, event.clientY - box.top));
    });
    element.addEventListener("pointerleave", () => this.show(-1));
    element.addEventListener("blur", () => this.show(-1));
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
      const step = steps[event.key];
      const last = this.places.length - 1;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") this.show(-1);
      else if (step === void 0 || last < 0) return;
      else this.show(Math.min(Math.max(this.at < 0 && Math.abs(step) === 1 ? last : Math.max(this.at, 0) + step, 0), last));
      event.preventDefault();
    });
  }
  nearest(x, y) {
    let [found, least] = [-1, REACH_PX ** 2];
    this.places.forEach(([px, py], place) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [found, least] = [place, far];
    });
    return found;
  }
  /** Draw all of it. */
  draw(trials, look, { usual, last, reasons, empty }) {
    this.trials = trials;
    this.reasons = reasons;
    const { canvas, element } = this;
    const [wide, high] = [element.clientWidth, element.clientHeight];
    put(this.empty, empty);
    this.empty.hidden = !empty;
    element.classList.toggle("hollow", Boolean(empty));
    const some = trials.count > 0;
    if (some) element.setAttribute("tabindex", "0");
    else element.removeAttribute("tabindex");
    element.setAttribute("aria-disabled", String(!some));
    if (!wide || !high) return;
    const pen = fitted(canvas, wide, high);
    this.layOut(trials, wide, high, usual, last);
    if (!empty || some) this.axes(pen, look, usual);
    this.marks(pen, trials, look);
    this.speak();
    this.show(this.at < this.places.length ? this.at : -1);
  }
  layOut(trials, wide, high, usual, last) {
    const values = [];
    this.lane = false;
    for (let k = 0; k < trials.count; k++) {
      const value = trials.of(k, "value");
      if (Number.isFinite(value)) values.push(value);
      else this.lane = true;
    }
    this.range.cover(...valueSpan(values, usual));
    this.box = { left: 64, right: wide - 14, top: 16, bottom: high - 36 - (this.lane ? LANE_PX : 0), high, wide };
    this.most = Math.max(last, trials.count ? trials.of(trials.count - 1, "number") : 0, 1);
    this.places = Array.from({ length: trials.count }, (_, k) => {
      const value = trials.of(k, "value");
      const y = Number.isFinite(value) ? this.y(Math.min(value, this.range.high)) : this.box.bottom + LANE_PX / 2 + 2;
      return [this.x(trials.of(k, "number")), y];
    });
  }
  x(number) {
    return this.box.left + 6 + (this.box.right - this.box.left - 12) * number / this.most;
  }
  y(value) {
    const { top, bottom } = this.box;
    return bottom - (bottom - top) * (value - this.range.low) / (this.range.high - this.range.low || 1);
  }
  axes(pen, look, usual) {
    const { left, right, top, bottom, high } = this.box;
    const line = (x0, y0, x1, y1, colour, width = 1) => {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
      pen.stroke();
    };
    const foot = bottom + (this.lane ? LANE_PX : 0);
    pen.font = `12px ${FONT}`;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const { step, values } = this.range.ticks(Math.max(2, (bottom - top) / 46));
    for (const value of values) {
      line(left, this.y(value), right, this.y(value), look.grid);
      pen.fillStyle = look.muted;
      pen.fillText(withStep(value, step), left - 6, this.y(value));
    }
    if (this.lane) {
      line(left, bottom + 2, right, bottom + 2, look.axis);
      pen.fillStyle = look.muted;
      pen.fillText("no value", left - 6, bottom + LANE_PX / 2 + 2);
    }
    line(left, foot + 2, right, foot + 2, look.axis);
    pen.textAlign = "center";
    for (const { x, text } of countTicks(0, this.most, Math.max(2, (right - left) / 70)).ticks) {
      pen.fillStyle = look.muted;
      pen.fillText(text, this.x(x), foot + 13);
    }
    pen.fillText("trial", (left + right) / 2, high - 8);
    if (Number.isFinite(usual)) {
      pen.setLineDash([6, 4]);
      line(left, this.y(usual), right, this.y(usual), look.held, 1.6);
      pen.setLineDash([]);
    }
  }
  marks(pen, trials, look) {
    pen.strokeStyle = BEST_LINE;
    pen.lineWidth = 2;
    pen.beginPath();
    let down = false;
    let height = NaN;
    for (let k = 0; k < trials.count; k++) {
      const best = trials.of(k, "best");
      if (!Number.isFinite(best)) continue;
      const [x, y] = [this.places[k][0], this.y(Math.min(best, this.range.high))];
      if (down) pen.lineTo(x, height);
      else pen.moveTo(x, y);
      pen.lineTo(x, y);
      [down, height] = [true, y];
    }
    pen.stroke();
    for (let k = 0; k < trials.count; k++) {
      const [x, y] = this.places[k];
      drawMark(pen, trials.state(k), x, y, look);
      if (trials.of(k, "value") > this.range.high) drawAbove(pen, x, y, look.muted);
    }
  }
  speak() {
    const last = Math.max(0, this.places.length - 1);
    this.element.setAttribute("aria-valuemin", "0");
    this.element.setAttribute("aria-valuemax", String(last));
    this.element.setAttribute("aria-valuenow", String(this.at >= 0 ? this.at : last));
    const told = !this.places.length ? "no trial yet" : this.at >= 0 ? this.trials.told(this.at, this.reasons).join("; ") : `${this.places.length} trials; arrow keys tell them one by one`;
    this.element.setAttribute("aria-valuetext", told);
  }
  /** Tell of one trial, none at -1. */
  show(place) {
    this.at = place;
    this.ring.hidden = this.tip.hidden = place < 0;
    if (this.trials) this.speak();
    this.tell(place);
    if (place < 0) return;
    const [x, y] = this.places[place];
    this.ring.style.transform = `translate(${x - 8}px, ${y - 8}px)`;
    const lines = this.trials.told(place, this.reasons);
    this.tip.replaceChildren(...lines.map((text, k) => node(k ? "span" : "strong", "", {}, [text])));
    const { wide, high } = this.box;
    const [w, h2] = [this.tip.offsetWidth, this.tip.offsetHeight];
    const left = x + 14 + w <= wide ? x + 14 : Math.max(2, x - 14 - w);
    const top = Math.min(Math.max(2, y - h2 / 2), Math.max(2, high - h2 - 2));
    this.tip.style.transform = `translate(${left}px, ${top}px)`;
  }
};

// tuning/trials.js
var HEADER = 6;
var TRIAL_STATES = ["running", "complete", "pruned", "failed"];
var TRIAL_FACTS = ["number", "state", "value", "best", "batch", "seconds"];
var MOST_DIFFERENCES = 8;
var TrialRows = class {
  constructor() {
    this.width = TRIAL_FACTS.length;
    this.parameters = [];
    this.clear();
  }
  clear() {
    this.rows = [];
  }
  get count() {
    return this.rows.length;
  }
  /** Take a frame in; "gap" where rows before it are missing, null where it is none. */
  take(data) {
    const values = numbersOf(data, HEADER);
    if (!values) return null;
    const [seq, reset, first, count, width] = values;
    if (reset) this.clear();
    if (first > this.rows.length) return "gap";
    this.width = width;
    this.rows.length = first;
    for (let k = 0; k < count; k++) {
      this.rows.push(values.subarray(HEADER + k * width, HEADER + (k + 1) * width));
    }
    return { seq, reset };
  }
  of(place, fact) {
    return this.rows[place][TRIAL_FACTS.indexOf(fact)];
  }
  state(place) {
    return TRIAL_STATES[this.of(place, "state")] ?? "running";
  }
  /** A parameter of a trial; the word where it holds one of several. */
  parameter(place, index) {
    const value = this.rows[place][TRIAL_FACTS.length + index];
    const { levels } = this.parameters[index];
    return levels ? levels[value] ?? NaN : value;
  }
  /** What a trial changed: pairs of parameter and value that are not the default's. */
  differences(place) {
    const found = [];
    this.parameters.forEach((parameter, index) => {
      const value = this.parameter(place, index);
      const { default: usual } = parameter;
      if (typeof value === "number" && !Number.isFinite(value)) return;
      const same = value === usual || Math.abs(value - usual) <= 1e-9 * Math.abs(usual);
      if (!same) found.push([parameter, value]);
    });
    return found;
  }
  /** Lines that tell of a trial: its head, its value, what it changed, why it failed. */
  told(place, reasons) {
    const lines = [`Trial ${this.of(place, "number")}, ${this.state(place)}`];
    const value = this.of(place, "value");
    if (Number.isFinite(value)) lines.push(`value ${brief(value)}`);
    const reason = reasons[this.of(place, "number")];
    if (reason) lines.push(reason);
    const differ = this.differences(place);
    for (const [parameter, own] of differ.slice(0, MOST_DIFFERENCES)) {
      lines.push(`${spaced(parameter.name)} ${brief(own)} (default ${brief(parameter.default)})`);
    }
    if (differ.length > MOST_DIFFERENCES) lines.push(`and ${differ.length - MOST_DIFFERENCES} more parameters`);
    if (!differ.length && this.parameters.length) lines.push("every parameter at its default");
    return lines;
  }
};

// tuning/view.js
var STATE_WORDS = {
  idle: ["ready", "wait"],
  running: ["running", "good"],
  paused: ["paused", "wait"],
  stopped: ["stopped", "wait"],
  finished: ["finished", "good"],
  failed: ["failed", "bad"]
};
var CLOCK_MS = 1e3;
var MOST_TRIALS = 1e6;
var TuningLink = class extends Link {
  constructor(model) {
    super(model);
    this.trials = new TrialRows();
    this.hear("board", (board) => this.newBoard(board || {}));
    this.hear("reply", (reply) => this.tell("newReply", reply || {}));
    this.hear("download", (file) => this.download(file || {}));
    this.saved = model.get("download")?.id ?? 0;
    this.newBoard(model.get("board") || {});
    this.listen();
  }
  renew() {
    this.trials.clear();
    return true;
  }
  take(data) {
    return this.trials.take(data);
  }
  newBoard(board) {
    this.board = board;
    this.trials.parameters = board.parameters || [];
    this.tell("newBoard");
  }
  download({ id = 0, name, text }) {
    if (id <= this.saved) return;
    this.saved = id;
    if (this.views.size) saveText(name, text);
  }
};
var TuningView = class {
  constructor(link, el) {
    Object.assign(this, { link, model: link.model, trials: link.trials, status: {}, board: {}, typed: false });
    this.build(el);
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(this.root);
    this.unwatch = watchTheme(() => this.restyle());
    this.clock = setInterval(() => this.tick(), CLOCK_MS);
    this.restyle();
    this.newMeta();
    link.attach(this);
  }
  destroy() {
    this.observer.disconnect();
    this.unwatch();
    clearInterval(this.clock);
    this.link.detach(this);
    cancelAnimationFrame(this.asked);
    this.root.remove();
  }
  // -- elements ---------------------------------------------------------------------------------------------------
  build(el) {
    const push = (text, title, act) => node("button", "press", { type: "button", title, onclick: act }, [text]);
    this.name = node("h2", "name");
    this.badge = node("span", "badge");
    this.facts = node("span", "facts");
    this.start = push("Start", "Run trials until there are as many as the box says", () => this.link.command("start", Number(this.target.value)));
    this.start.classList.add("primary");
    this.pause = push("Pause", "Hold after the running batch", () => this.link.command("pause"));
    this.resume = push("Resume", "Go on after a pause", () => this.link.command("resume"));
    this.stop = push("Stop", "End after the running batch; the trials are kept", () => this.link.command("stop"));
    this.target = node("input", "field", { type: "number", min: "1", max: String(MOST_TRIALS), step: "1", value: "50" });
    this.target.addEventListener("input", () => {
      this.typed = true;
      this.showButtons();
    });
    this.bar = node("progress", "bar-done", { max: "1", value: "0", "aria-label": "Trials done" });
    this.progress = node("p", "standing");
    this.said = node("p", "said", { role: "status" });
    this.chart = new TrialChart((place) => this.root.dataset.trial = place < 0 ? "" : String(this.trials.of(place, "number")));
    this.legend = node("ul", "legend");
    this.importance = new ImportanceBars();
    this.best = new BestTable();
    this.applying = new Applying((name, value) => this.link.command(name, value));
    this.failures = new Failures();
    this.code = new CampaignCode();
    const tools = node("div", "tools", { role: "toolbar", "aria-label": "Controls of the campaign" }, [
      this.start,
      this.pause,
      this.resume,
      this.stop,
      node("label", "trials", {}, ["Trials in all", this.target])
    ]);
    this.root = node("section", "uspnb-tuning", { "aria-label": "Tuning campaign", "data-lm-suppress-shortcuts": "true" }, [
      node("header", "head", {}, [this.name, this.badge, this.facts]),
      tools,
      node("div", "line", {}, [this.bar, this.progress]),
      this.said,
      node("div", "grid", {}, [
        node("div", "stack", {}, [part("history", "History", [this.chart.element, this.legend]), this.best.element]),
        node("div", "stack", {}, [this.importance.element, this.applying.element, this.code.element, this.failures.element])
      ])
    ]);
    this.root.uspnb = { link: this.link, view: this };
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    el.append(this.root);
  }
  // -- look -------------------------------------------------------------------------------------------------------
  restyle() {
    this.look = dress(this.root, this.model);
    this.resized();
  }
  resized() {
    const width = this.root.clientWidth;
    this.root.dataset.size = width < 560 ? "narrow" : width < 960 ? "medium" : "wide";
    this.redraw();
  }
  redraw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = void 0;
      const ended = ["finished", "stopped", "failed"].includes(this.status.state);
      this.chart.draw(this.trials, this.look, {
        usual: this.status.default_value ?? NaN,
        last: ended ? 0 : (this.status.target || 1) - 1,
        reasons: this.reasons ?? {},
        empty: this.trials.count ? "" : this.emptyWords()
      });
      Object.assign(this.root.dataset, { trials: this.trials.count, frames: this.link.frames });
      this.link.drawn();
    });
  }
  emptyWords() {
    const { state } = this.status;
    if (state === "running") return "The first batch is being compiled and run; it takes some seconds.";
    if (state === "failed") return "The campaign failed before its first trial.";
    if (!state) return "Waiting for the campaign.";
    return "No trial yet. Start runs the configuration as it stands first, as trial 0, and then looks for a better one.";
  }
  // -- data -------------------------------------------------------------------------------------------------------
  newMeta() {
    this.applying.begin(this.link.meta);
    this.typed = false;
    this.newBoard();
    this.newStatus(this.link.status);
    this.showLegend();
  }
  newTicks() {
    this.showLegend();
    this.redraw();
  }
  newBoard() {
    this.board = this.link.board;
    this.reasons = Object.fromEntries((this.board.failures?.rows || []).map((row) => [row.number, row.reason]));
    this.importance.show(this.board.importance || {});
    this.best.show(this.board.best || {}, this.board.verdict || {});
    this.failures.show(this.board.failures || {});
    if (this.shownCode !== this.board.code) this.code.show(this.shownCode = this.board.code);
    this.showApplying();
    this.redraw();
  }
  newStatus(status) {
    const before = this.status.state;
    this.status = status;
    this.toldAt = performance.now();
    const [word, kind] = STATE_WORDS[status.state] ?? ["waiting", "wait"];
    put(this.name, status.name || "Tuning campaign");
    put(this.badge, word);
    this.badge.dataset.kind = kind;
    put(this.facts, [status.tier && `${status.tier} tier`, status.metric && `metric ${spaced(status.metric)}`].filter(Boolean).join(" \xB7 "));
    if (!this.typed && status.target) this.target.value = String(status.target);
    put(this.said, status.message || "");
    this.said.hidden = !status.message;
    this.said.className = status.state === "failed" || status.refused ? "said refused" : "said";
    this.root.dataset.state = status.state ?? "";
    this.showButtons();
    this.tick();
    this.showApplying();
    if (before !== status.state || this.usual !== status.default_value) this.redraw();
    this.usual = status.default_value;
  }
  showButtons() {
    const { state, trials = 0, target = 0 } = this.status;
    const rests = ["idle", "stopped", "finished", "failed"].includes(state);
    const wanted = Number(this.target.value);
    const sound = Number.isInteger(wanted) && wanted >= 1 && wanted <= MOST_TRIALS;
    put(this.start, trials ? "Go on" : "Start");
    this.start.disabled = !rests || !sound || wanted <= trials;
    this.start.title = rests && sound && wanted <= trials ? `${trials} trials are done; raise the number to go on` : "Run trials until there are as many as the box says";
    this.pause.disabled = state !== "running";
    this.resume.disabled = state !== "paused";
    this.stop.disabled = state !== "running" && state !== "paused";
    this.target.disabled = !rests;
    this.bar.max = Math.max(1, target);
    this.bar.value = Math.min(trials, Math.max(1, target));
  }
  /** The line that moves while a campaign runs, by the browser's own clock. */
  tick() {
    const { state, trials = 0, target = 0, elapsed_s: elapsed, best_value: best, default_value: usual, improvement } = this.status;
    if (!state) return;
    const since = state === "running" ? (performance.now() - this.toldAt) / 1e3 : 0;
    const said = [`${grouped(trials)} ${target ? `of ${grouped(target)} ` : ""}${trials === 1 && !target ? "trial" : "trials"}`];
    if (Number.isFinite(elapsed) && (elapsed > 0 || since > 0)) said.push(duration(elapsed + since));
    if (Number.isFinite(best)) said.push(`best ${brief(best)}`);
    if (Number.isFinite(usual)) said.push(`default ${brief(usual)}`);
    if (Number.isFinite(improvement)) said.push(improvement > 0 ? `${(100 * improvement).toFixed(improvement > 0.01 ? 1 : 3)} % better than the default` : "nothing better than the default yet");
    put(this.progress, said.join(" \xB7 "));
  }
  showLegend() {
    const counts = Object.fromEntries(TRIAL_STATES.map((state) => [state, 0]));
    for (let k = 0; k < this.trials.count; k++) counts[this.trials.state(k)]++;
    const told = Object.entries(counts).filter(([, count]) => count).map(([state, count]) => [state, `${grouped(count)} ${state}`]);
    const lines = this.trials.count ? [["best", "best so far"], ["usual", "default"]] : [];
    const made = [...told, ...lines].map(([kind, text]) => node("li", "", { "data-mark": kind }, [text]));
    this.legend.replaceChildren(...made);
  }
  showApplying() {
    this.applying.show({ ready: Boolean(this.board.best?.better), undoable: Boolean(this.status.undoable), busy: Boolean(this.status.busy) });
  }
  newReply(reply) {
    this.applying.reply(reply);
  }
};
var view_default = widgetOf(TuningLink, TuningView);
export {
  view_default as default
};
