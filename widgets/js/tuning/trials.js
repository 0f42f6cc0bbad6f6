// What the browser keeps of a campaign: a row of numbers for each trial, and how a trial is told in words.

import { brief, spaced } from "../shared/format.js";
import { numbersOf } from "../shared/link.js";

const HEADER = 6;
export const TRIAL_STATES = ["running", "complete", "pruned", "failed"];
const TRIAL_FACTS = ["number", "state", "value", "best", "batch", "seconds"];
const MOST_DIFFERENCES = 8;

export class TrialRows {
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
    const changes = [];
    this.parameters.forEach((parameter, index) => {
      const value = this.parameter(place, index);
      const { default: usual } = parameter;
      if (typeof value === "number" && !Number.isFinite(value)) return;
      const same = value === usual || Math.abs(value - usual) <= 1e-9 * Math.abs(usual);
      if (!same) changes.push([parameter, value]);
    });
    return changes;
  }

  /** Lines that tell of a trial: its head, its value, what it changed, why it failed. */
  describe(place, reasons) {
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
