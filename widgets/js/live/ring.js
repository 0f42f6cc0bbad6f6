// The newest ticks: one Float64Array per column, written round and round.  Tick t stands at t mod capacity, so a
// tick's place never changes while it is kept.

import { numbersOf } from "../shared/link.js";

const HEADER = 10;
const LIVE = 0;

/** A frame of the credit protocol (widgets/live_link.py), or null where there is none. */
export function readFrame(data) {
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
    rows: numbers.subarray(HEADER),
  };
}

export class Ring {
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
    this.sharesFrom = undefined;
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
    const shared = Math.min(width, this.columns.length);
    const time = this.index.time;
    for (let k = from; k < count; k++) {
      const place = this.high % this.capacity;
      const base = k * width;
      for (let c = 0; c < shared; c++) this.columns[c][place] = rows[base + c];
      // Refused ticks may carry a time before the last one's; the axis does not run backwards for them.
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
        onset: this.column("onset_tick")[place],
      });
      if (this.alarms.length > 4000) this.alarms.splice(0, 2000);
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
      const middle = (low + high) >> 1;
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
    const steps = [];
    for (let tick = Math.max(this.low + 1, this.high - 15); tick < this.high; tick++) {
      const step = this.xAt(tick) - this.xAt(tick - 1);
      if (step > 0) steps.push(step);
    }
    if (!steps.length) return 1;
    steps.sort((a, b) => a - b);
    return steps[steps.length >> 1];
  }

  /** All columns of a tick by name; null where it is not kept. */
  row(tick) {
    if (!(tick >= this.low && this.high > tick)) return null;
    const place = tick % this.capacity;
    return Object.fromEntries(this.names.map((name, i) => [name, this.columns[i][place]]));
  }
}
