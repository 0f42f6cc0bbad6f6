// One row of the table: real cells with text for everybody, a small canvas with the last ticks, a bar of weights.

import { fitted } from "../shared/canvas.js";
import { node, put } from "../shared/elements.js";
import { DASH, grouped, number, percent, signedPercent, spaced } from "../shared/format.js";

const MODES = ["inference", "calibration", "diagnostic"];
const MOST_SKILL = 9.99;

export class FleetRow {
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
    this.parts = meta.kernels.map(({ colour }) => {
      const part = node("i");
      part.style.background = colour;
      return part;
    });
    this.leader = node("span", "leader");
    this.badge = node("span", "badge");
    this.alarm = node("span", "alarm-text");
    this.skill = node("span", "number");
    this.coverage = node("span", "number");
    this.weights = cell("weights", [node("span", "bar", { "aria-hidden": "true" }, this.parts), this.leader]);
    this.weights.addEventListener("pointerenter", () => (this.weights.title = this.shares || ""));
    this.element = node("div", "row", { role: "row", tabindex: "-1" }, [
      cell("name", [this.name]),
      cell("spark", [this.canvas]),
      cell("value", [this.value]),
      cell("forecast", [this.forecast, this.interval]),
      this.weights,
      cell("mode", [this.badge]),
      cell("alarm", [this.alarm]),
      cell("skill", [this.skill]),
      cell("coverage", [this.coverage]),
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
    put(this.alarm, count > 0 ? `${count} \u00b7 ${chart && spaced(chart)} at ${grouped(of("last_alarm_tick"))}` : "none");
    this.alarm.classList.toggle("recent", recent);
    put(this.skill, signedPercent(of("skill"), MOST_SKILL));
    this.skill.classList.toggle("good", of("skill") > 0.005);
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
    const finite = Number.isFinite(weights[leader]);
    this.shares = this.meta.kernels.map(({ label }, k) => `${label} ${percent(weights[k], DASH)}`).join(", ");
    put(this.leader, finite ? `${this.meta.kernels[leader].label} ${percent(weights[leader])}` : DASH);
  }

  /** Interval as a band, forecasts as a thin line, observations over them, a mark at each alarm. */
  draw(data) {
    const { canvas, look } = this;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (!w || !h) return;
    const pen = fitted(canvas, w, h);
    const { first, next, ticksKept } = data;
    const read = (name) => Array.from({ length: next - first }, (_, k) => data.spark(this.asset, name, first + k));
    const [y, low, high, mid, alarm] = ["observation", "lower", "upper", "prediction", "alarm"].map(read);
    let [bottom, top] = [Infinity, -Infinity];
    for (const value of y) if (Number.isFinite(value)) [bottom, top] = [Math.min(bottom, value), Math.max(top, value)];
    if (!(top >= bottom)) return;
    // The path sets the scale; intervals may leave the picture by a third of its height, no further.
    const room = (top - bottom || Math.abs(top) || 1) / 3;
    const inside = (value, from, to) => Math.min(Math.max(value, from), to);
    let [least, most] = [bottom, top];
    low.forEach((value) => Number.isFinite(value) && (least = Math.min(least, inside(value, bottom - room, top))));
    high.forEach((value) => Number.isFinite(value) && (most = Math.max(most, inside(value, bottom, top + room))));
    const span = most - least || 1;
    const x = (k) => 1 + ((w - 3) * (ticksKept - (next - first) + k)) / (ticksKept - 1);
    const at = (value) => 2 + (h - 4) * (1 - (inside(value, least - span, most + span) - least) / span);
    pen.fillStyle = look.band;
    pen.beginPath();
    let open = [];
    const close = () => {
      open.forEach((k, i) => (i ? pen.lineTo(x(k), at(high[k])) : pen.moveTo(x(k), at(high[k]))));
      for (const k of open.reverse()) pen.lineTo(x(k), at(low[k]));
      open = [];
    };
    y.forEach((_, k) => (Number.isFinite(low[k]) && Number.isFinite(high[k]) ? open.push(k) : close()));
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
    alarm.forEach((raised, k) => raised > 0 && pen.fillRect(x(k) - 1, 0, 2, h));
  }
}
