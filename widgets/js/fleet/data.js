// What the browser keeps of a fleet: the present state of every asset and its last ticks; and which assets are shown,
// in which order.

import { numbersOf } from "../shared/link.js";

const HEADER = 10;

export class FleetData {
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
    if (!reset && !this.begun) return null; // what was under way before this page said hello
    this.begun = true;
    if (reset) this.first = first;
    else this.gaps += Math.max(0, first - this.next);
    this.summary.set(values.subarray(HEADER, HEADER + assets * this.summaryWidth));
    const row = this.count * this.width;
    let at = HEADER + assets * this.summaryWidth;
    for (let tick = first; tick < first + count; tick++, at += row) {
      this.ring.set(values.subarray(at, at + row), (tick % this.ticksKept) * row);
    }
    this.next = first + count;
    this.first = Math.max(this.first, this.next - this.ticksKept);
    return { seq, sent, reset };
  }

  of(asset, name) {
    return this.summary[asset * this.summaryWidth + this.columns[name]];
  }

  spark(asset, name, tick) {
    return this.ring[((tick % this.ticksKept) * this.count + asset) * this.width + this.sparks[name]];
  }

  recentAlarm(asset) {
    const tick = this.of(asset, "last_alarm_tick");
    return Number.isFinite(tick) && tick >= this.next - this.ticksKept;
  }

  weights(asset, kernels) {
    return kernels.map(({ name }) => this.of(asset, `weight_${name}`));
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
      const compare = new Intl.Collator(undefined, { numeric: true }).compare;
      return shown.sort((a, b) => sign * compare(this.assets[a], this.assets[b]) || a - b);
    }
    const column = { alarm: "last_alarm_tick", skill: "skill" }[key];
    return shown.sort((a, b) => {
      const [x, y] = [this.of(a, column), this.of(b, column)];
      if (Number.isFinite(x) !== Number.isFinite(y)) return Number.isFinite(x) ? -1 : 1;
      return Number.isFinite(x) ? sign * (x - y) || a - b : a - b;
    });
  }
}
