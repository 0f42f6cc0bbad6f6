// The history of a campaign on one canvas: a mark for each trial, the running best as steps, the default as dashes.
// States differ in shape as well as in colour.  What a mark stands for is told by pointer and by arrow keys.

import { FONT, cross, disc, fitted, straight, trace } from "../shared/canvas.js";
import { node, put } from "../shared/elements.js";
import { withStep } from "../shared/format.js";
import { ValueRange, countTicks } from "../shared/scale.js";

const REACH_PX = 28;
const LANE_PX = 18;
const BEST_LINE = "#14a37f";

/** Draw the mark of a state round (x, y); the shapes are those of uspnb/plots/trials.py. */
function drawMark(pen, state, x, y, look) {
  if (state === "complete") return disc(pen, x, y, 3.4, look.forecast);
  if (state === "failed") return cross(pen, x, y, 3.6, look.alarm, 1.6);
  const corners = state === "pruned" ? [[0, -4], [4, 3], [-4, 3]] : [[-3, -3], [3, -3], [3, 3], [-3, 3]];
  trace(pen, ...corners.map(([dx, dy]) => [x + dx, y + dy]));
  pen.closePath();
  pen.lineWidth = 1.6;
  pen.strokeStyle = state === "pruned" ? look.muted : look.forecast;
  pen.stroke();
}

/** A chevron at the upper edge: the value lies above what is drawn. */
function drawAbove(pen, x, y, colour) {
  trace(pen, [x - 4, y - 5], [x, y - 9], [x + 4, y - 5]);
  pen.lineWidth = 1.2;
  pen.strokeStyle = colour;
  pen.stroke();
}

/** From the best to a little above the middle of the field: a few hopeless trials must not flatten all others. */
function valueSpan(values, usual) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return Number.isFinite(usual) ? [usual, usual] : [NaN, NaN];
  const withDefault = Number.isFinite(usual);
  const low = Math.min(sorted[0], withDefault ? usual : Infinity);
  const field = Math.max(sorted[Math.floor(0.8 * (sorted.length - 1))], withDefault ? usual : -Infinity);
  return [low, Math.min(sorted[sorted.length - 1], field + 0.6 * (field - low)) || low];
}

export class TrialChart {
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
      this.canvas, this.ring, this.tip, this.empty,
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
      else if (step === undefined || last < 0) return;
      // without a trial under it, the first key tells of the newest one
      else this.show(Math.min(Math.max(this.at < 0 && Math.abs(step) === 1 ? last : Math.max(this.at, 0) + step, 0), last));
      event.preventDefault();
    });
  }

  nearest(x, y) {
    let [best, least] = [-1, REACH_PX ** 2];
    this.places.forEach(([px, py], place) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [best, least] = [place, far];
    });
    return best;
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
    return this.box.left + 6 + ((this.box.right - this.box.left - 12) * number) / this.most;
  }

  y(value) {
    const { top, bottom } = this.box;
    return bottom - ((bottom - top) * (value - this.range.low)) / (this.range.high - this.range.low || 1);
  }

  axes(pen, look, usual) {
    const { left, right, top, bottom, high } = this.box;
    const foot = bottom + (this.lane ? LANE_PX : 0);
    pen.font = `12px ${FONT}`;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const { step, values } = this.range.ticks(Math.max(2, (bottom - top) / 46));
    for (const value of values) {
      straight(pen, left, this.y(value), right, this.y(value), look.grid);
      pen.fillStyle = look.muted;
      pen.fillText(withStep(value, step), left - 6, this.y(value));
    }
    if (this.lane) {
      straight(pen, left, bottom + 2, right, bottom + 2, look.axis);
      pen.fillStyle = look.muted;
      pen.fillText("no value", left - 6, bottom + LANE_PX / 2 + 2);
    }
    straight(pen, left, foot + 2, right, foot + 2, look.axis);
    pen.textAlign = "center";
    for (const { x, text } of countTicks(0, this.most, Math.max(2, (right - left) / 70)).ticks) {
      pen.fillStyle = look.muted;
      pen.fillText(text, this.x(x), foot + 13);
    }
    pen.fillText("trial", (left + right) / 2, high - 8);
    if (Number.isFinite(usual)) {
      straight(pen, left, this.y(usual), right, this.y(usual), look.held, [6, 4], 1.6);
    }
  }

  marks(pen, trials, look) {
    pen.strokeStyle = BEST_LINE;
    pen.lineWidth = 2;
    pen.beginPath();
    let height;
    for (let k = 0; k < trials.count; k++) {
      const best = trials.of(k, "best");
      if (!Number.isFinite(best)) continue;
      const [x, y] = [this.places[k][0], this.y(Math.min(best, this.range.high))];
      pen.lineTo(x, height ?? y);
      pen.lineTo(x, y);
      height = y;
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
    const text = !this.places.length ? "no trial yet"
      : this.at >= 0 ? this.trials.describe(this.at, this.reasons).join("; ") : `${this.places.length} trials; arrow keys tell them one by one`;
    this.element.setAttribute("aria-valuetext", text);
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
    const lines = this.trials.describe(place, this.reasons);
    this.tip.replaceChildren(...lines.map((text, k) => node(k ? "span" : "strong", "", {}, [text])));
    const { wide, high } = this.box;
    const [w, h] = [this.tip.offsetWidth, this.tip.offsetHeight];
    const left = x + 14 + w <= wide ? x + 14 : Math.max(2, x - 14 - w);
    const top = Math.min(Math.max(2, y - h / 2), Math.max(2, high - h - 2));
    this.tip.style.transform = `translate(${left}px, ${top}px)`;
  }
}
