// Numbers and times as text.

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const DASH = "\u2013";
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const padded = (part, digits = 2) => String(part).padStart(digits, "0");

/** A whole number, its thousands apart. */
export function grouped(count) {
  return Number.isFinite(count) ? Math.round(count).toLocaleString("en-US") : "-";
}

/** A number with as many decimals as a step between neighbours needs. */
export function withStep(value, step) {
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

/** A number with so many digits that count, zeros included, for columns. */
export function number(value, digits = 4) {
  if (!Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  const places = Math.max(0, digits - 1 - Math.max(0, Math.floor(Math.log10(size || 1))));
  return value.toFixed(places);
}

/** A number or a word as a person would write it: four digits that count, no zeros after them. */
export function brief(value) {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  if (!Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return value.toLocaleString("en");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** A share of one in per cent, halves rounded up as uspnb/engine/views.py does. */
export function percent(share, unknown = "-") {
  return Number.isFinite(share) ? `${Math.floor(100 * share + 0.5)} %` : unknown;
}

/** A change in per cent, with its sign; a number as large as `most` is not written out. */
export function signedPercent(change, most = Infinity) {
  if (!Number.isFinite(change)) return DASH;
  return `${change > 0 ? "+" : ""}${Math.abs(change) > most ? "> 999" : (100 * change).toFixed(1)} %`;
}

export const spaced = (name) => name.replaceAll("_", " ");

/** Seconds as "8 s", "3:05" or "2:03:05". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${padded(minutes)}:${padded(whole % 60)}` : `${minutes}:${padded(whole % 60)}`;
}

/** Date and clock of an instant (UTC), as fine as a step [ms] needs. */
export function instant(ms, step = SECOND) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return "-";
  const date = `${at.getUTCFullYear()}-${padded(at.getUTCMonth() + 1)}-${padded(at.getUTCDate())}`;
  if (step >= DAY && ms % DAY === 0) return date;
  const clock = `${padded(at.getUTCHours())}:${padded(at.getUTCMinutes())}`;
  if (step >= MINUTE && ms % MINUTE === 0) return `${date} ${clock}`;
  const seconds = `${date} ${clock}:${padded(at.getUTCSeconds())}`;
  return step >= SECOND && ms % SECOND === 0 ? seconds : `${seconds}.${padded(at.getUTCMilliseconds(), 3)}`;
}

/** The name of a tick of a time axis whose ticks are a step [ms] apart. */
export function shortTime(at, step) {
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
