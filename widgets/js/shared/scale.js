// Axes: ranges that do not jitter, ticks at round numbers and at round times.

import { DAY, HOUR, MINUTE, SECOND, grouped, shortTime, withStep } from "./format.js";

const TIME_STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500,
  SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY,
];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];

/** The round number (1, 2 or 5 times a power of ten) at or above a positive one. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  for (const factor of [1, 2, 5]) if (factor * power >= value * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

/** A value axis that keeps its range while the data fits and fills it, so that the picture stands still. */
export class ValueRange {
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
    const fits = this.low <= low && high <= this.high && spread >= this.fill * (this.high - this.low);
    if (fits) return;
    const margin = 0.07 * spread;
    const step = roundUp(spread / 10);
    this.low = hard[0] ?? Math.floor((low - margin) / step) * step;
    this.high = hard[1] ?? Math.ceil((high + margin) / step) * step;
    if (!(this.high > this.low)) this.high = this.low + step;
  }

  ticks(most) {
    const step = roundUp((this.high - this.low) / Math.max(most, 1));
    const places = [];
    for (let k = Math.ceil(this.low / step - 1e-9); k * step <= this.high + 1e-9 * step; k++) {
      places.push(k * step);
      if (places.length > 40) break;
    }
    return { step, values: places };
  }
}

/** A reading: precise to a thousandth of what the axis shows. */
export function reading(value, range) {
  const span = range.high - range.low;
  return withStep(value, span > 0 ? roundUp(span / 2000) : 1e-3);
}

/** Places and names of the ticks of a time axis [ms] with at most `most` of them. */
export function timeTicks(low, high, most) {
  const least = (high - low) / Math.max(most, 1);
  const places = [];
  const step = TIME_STEPS.find((candidate) => candidate >= least);
  if (step !== undefined) {
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
      places.push({ x: at, text: shortTime(new Date(at), step) });
    }
  } else {
    const months = MONTH_STEPS.find((candidate) => candidate * 30 * DAY >= least) || 2400;
    const first = new Date(low);
    let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months;
    for (; places.length <= most + 2; month += months) {
      const at = Date.UTC(Math.floor(month / 12), month % 12);
      if (at > high) break;
      if (at >= low) places.push({ x: at, text: shortTime(new Date(at), months * 28.5 * DAY) });
    }
  }
  return { step: step ?? 30 * DAY, ticks: places };
}

/** Places and names of the ticks of an axis that counts ticks. */
export function countTicks(low, high, most) {
  const step = Math.max(1, roundUp((high - low) / Math.max(most, 1)));
  const places = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    if (at >= 0) places.push({ x: at, text: grouped(at) });
  }
  return { step, ticks: places };
}
