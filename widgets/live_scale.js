// ---------------------------------------------------------------------------------------------------------------
// Axes: ranges that do not jitter, ticks at round numbers and at round times, numbers as text.
// ---------------------------------------------------------------------------------------------------------------

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIME_STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500,
  SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY,
];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The round number (1, 2 or 5 times a power of ten) at or above a positive one. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  for (const factor of [1, 2, 5]) if (factor * power >= value * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

/** A value axis that keeps its range while the data fits and fills it, so that the picture stands still. */
class ValueRange {
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
}

/** A number with as many decimals as a step between neighbours needs. */
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

/** A reading: precise to a thousandth of what the axis shows. */
function reading(value, range) {
  const span = range.high - range.low;
  return withStep(value, span > 0 ? roundUp(span / 2000) : 1e-3);
}

function percent(share) {
  return Number.isFinite(share) ? `${Math.floor(100 * share + 0.5)} %` : "-";
}

function grouped(count) {
  return Number.isFinite(count) ? Math.round(count).toLocaleString("en-US") : "-";
}

const two = (number) => String(number).padStart(2, "0");

/** Date and clock of an instant (UTC), as fine as a step needs. */
function instant(ms, step = SECOND) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "-";
  const date = `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
  if (step >= DAY && ms % DAY === 0) return date;
  const clock = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  if (step >= MINUTE && ms % MINUTE === 0) return `${date} ${clock}`;
  const seconds = `${date} ${clock}:${two(at.getUTCSeconds())}`;
  return step >= SECOND && ms % SECOND === 0 ? seconds : `${seconds}.${String(at.getUTCMilliseconds()).padStart(3, "0")}`;
}

function shortTime(at, step) {
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
  const clock = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  if (step >= 12 * 28 * DAY) return String(year);
  if (step >= 28 * DAY) return month === 0 ? String(year) : MONTHS[month];
  if (step >= DAY) return month === 0 && day === 1 ? String(year) : `${day} ${MONTHS[month]}`;
  if (at.getTime() % DAY === 0) return `${day} ${MONTHS[month]}`;
  if (step >= MINUTE) return clock;
  if (step >= SECOND) return `${clock}:${two(at.getUTCSeconds())}`;
  return `${two(at.getUTCSeconds())}.${String(at.getUTCMilliseconds()).padStart(3, "0")}`;
}

/** Places and names of the ticks of a time axis [ms] with at most `most` of them. */
function timeTicks(low, high, most) {
  const least = (high - low) / Math.max(most, 1);
  const found = [];
  const step = TIME_STEPS.find((candidate) => candidate >= least);
  if (step !== undefined) {
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

/** Places and names of the ticks of an axis that counts ticks. */
function countTicks(low, high, most) {
  const step = Math.max(1, roundUp((high - low) / Math.max(most, 1)));
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    if (at >= 0) found.push({ x: at, text: grouped(at) });
  }
  return { step, ticks: found };
}
