// ---------------------------------------------------------------------------------------------------------------
// What the browser keeps of a campaign: a row of numbers for each trial, and how a trial is told in words.
// ---------------------------------------------------------------------------------------------------------------

const TUNING_HEADER = 6;
const TRIAL_STATES = ["running", "complete", "pruned", "failed"];
const TRIAL_FACTS = ["number", "state", "value", "best", "batch", "seconds"];
const MOST_DIFFERENCES = 8;

/** A number as a person would write it: four digits that count, no zeros after them. */
function brief(value) {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return value.toLocaleString("en");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

const spaced = (name) => name.replaceAll("_", " ");

/** Seconds as "8 s", "3:05" or "2:03:05". */
function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const pad = (part) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

class TrialRows {
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
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data)
      : data && data.buffer ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : null;
    if (!bytes || bytes.byteLength < 8 * TUNING_HEADER) return null;
    const values = new Float64Array(bytes.slice().buffer);
    const [seq, reset, first, count, width] = values;
    if (reset) this.clear();
    if (first > this.rows.length) return "gap";
    this.width = width;
    this.rows.length = first;
    for (let k = 0; k < count; k++) {
      this.rows.push(values.subarray(TUNING_HEADER + k * width, TUNING_HEADER + (k + 1) * width));
    }
    return { seq };
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
}
