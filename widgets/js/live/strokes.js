// Strokes: where ticks lie close, one upright bar per pixel column from the lowest to the highest point that the line
// has there, so that ten thousand ticks cost as much as a thousand and no peak is lost.  (Measured without a GPU: bars
// take a tenth of the time of an anti-aliased path through the same points.)

const FAR = 1e5;

/** The ticks first..stop of a ring as a panel's width shows them: a pixel for each. */
export class Sample {
  constructor(ring, x0, x1) {
    this.ring = ring;
    this.x0 = x0;
    this.x1 = x1;
    this.first = Math.max(ring.low, ring.search(x0) - 1);
    this.stop = Math.min(ring.high, ring.search(x1) + 1);
    this.count = Math.max(0, this.stop - this.first);
  }

  place(left, width) {
    this.left = left;
    this.width = width;
    this.scale = width / (this.x1 - this.x0 || 1);
    const { ring, stop } = this;
    const taken = this.count ? (ring.xAt(stop - 1) - this.x0) * this.scale : width; // the rest is for what is forecast
    this.taken = Math.max(1, Math.min(width, taken));
    this.dense = this.count > 1.2 * this.taken;
    this.close = this.count > 0.3 * this.taken;
    this.exact = new Float32Array(this.count);
    this.pixels = new Float32Array(this.count);
    for (let k = 0; k < this.count; k++) {
      const x = left + (this.ring.xAt(this.first + k) - this.x0) * this.scale;
      this.exact[k] = x;
      this.pixels[k] = this.dense ? Math.floor(x) + 0.5 : x;
    }
  }

  /** Pixels that a tick takes. */
  get spacing() {
    return this.count ? this.taken / this.count : this.width;
  }

  toX(x) {
    return this.left + (x - this.x0) * this.scale;
  }

  /** Call `group(pixel, from, to)` for each run of ticks k (from 0) that share a pixel. */
  groups(group) {
    const { pixels, count } = this;
    let from = 0;
    while (from !== count) {
      let to = from + 1;
      if (this.dense) while (to !== count && pixels[to] === pixels[from]) to++;
      group(pixels[from], from, to);
      from = to;
    }
  }

  /** Smallest and largest finite value of columns over the ticks shown, `share` of the extremes left out. */
  extent(columns, share = 0, leaveOut = null) {
    let low = Infinity;
    let high = -Infinity;
    const { capacity } = this.ring;
    // A stride that is counted from tick 0 picks the same ticks while the window moves.
    const stride = share > 0 ? Math.max(1, 2 ** Math.ceil(Math.log2(this.count / 1500))) : 1;
    const lows = [];
    const start = Math.ceil(this.first / stride) * stride;
    for (const column of columns) {
      lows.length = 0;
      for (let tick = start; tick < this.stop; tick += stride) {
        const value = column[tick % capacity];
        if (!Number.isFinite(value) || (leaveOut && leaveOut[tick % capacity] === 1)) continue;
        if (share > 0) lows.push(value);
        if (low > value) low = value;
        if (value > high) high = value;
      }
    }
    if (share === 0 || !lows.length) return [low, high];
    const sorted = Float64Array.from(lows).sort();
    const cut = Math.floor(share * sorted.length);
    return [sorted[cut], sorted[sorted.length - 1 - cut]];
  }
}

export const within = (y) => Math.max(-FAR, Math.min(FAR, y));

/** Call `point(k, value)` for each tick k (from 0) shown; NaN breaks a line, ticks left out do not. */
function eachPoint(sample, column, { leaveOut = null, since = 0 }, point) {
  const { first, count } = sample;
  const { capacity } = sample.ring;
  for (let k = Math.max(0, since - first); k < count; k++) {
    const place = (first + k) % capacity;
    const value = column[place];
    if (leaveOut && leaveOut[place] === 1 && value === value) continue;
    point(k, value);
  }
}

/** A column as a line; options: width, leaveOut (a flag), since (a tick). */
export function strokeColumn(pen, sample, column, toY, colour, options = {}) {
  const { width = 1.4 } = options;
  if (sample.close) {
    const { start, low, high } = columnsOf(pen, sample, column, toY, options);
    const half = (width * pen.ratio) / 2;
    for (let c = 0; c < low.length; c++) {
      if (high[c] >= low[c]) pen.bar(start + c, 1, low[c] - half, high[c] + half, colour);
    }
    return;
  }
  const { ctx } = pen.flush();
  let down = false;
  ctx.beginPath();
  eachPoint(sample, column, options, (k, value) => {
    const finite = value === value;
    if (finite && down) ctx.lineTo(sample.exact[k], within(toY(value)));
    else if (finite) ctx.moveTo(sample.exact[k], within(toY(value)));
    // A point between two gaps would not show as a line of no length.
    if (finite && !down) ctx.lineTo(sample.exact[k] + 0.5, within(toY(value)));
    down = finite;
  });
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineJoin = "round";
  ctx.stroke();
}

/** Between which heights [device pixels] a line passes through each pixel column. */
function columnsOf(pen, sample, column, toY, options = {}) {
  const { ratio } = pen;
  const start = Math.floor(sample.left * ratio) - 2;
  const room = Math.ceil(sample.width * ratio) + 5;
  const low = new Float32Array(room).fill(Infinity);
  const high = new Float32Array(room).fill(-Infinity);
  const touch = (at, a, b) => {
    if (0 > at || at >= room) return;
    if (low[at] > a) low[at] = a;
    if (low[at] > b) low[at] = b;
    if (a > high[at]) high[at] = a;
    if (b > high[at]) high[at] = b;
  };
  let x0 = NaN;
  let y0 = NaN;
  eachPoint(sample, column, options, (k, value) => {
    const x = sample.exact[k] * ratio - start;
    const y = within(toY(value)) * ratio;
    const at = Math.floor(x);
    if (y === y) {
      const from = Math.floor(x0);
      if (y0 !== y0 || from === at) touch(at, y, y0 === y0 ? y0 : y);
      else {
        const slope = (y - y0) / (x - x0);
        for (let c = Math.max(from, 0); c <= Math.min(at, room - 1); c++) {
          touch(c, y0 + (Math.max(c, x0) - x0) * slope, y0 + (Math.min(c + 1, x) - x0) * slope);
        }
      }
    }
    x0 = x;
    y0 = y;
  });
  return { start, low, high };
}

/** Fill between two columns. */
export function fillBetween(pen, sample, lower, upper, toY, colour) {
  if (sample.close) {
    const below = columnsOf(pen, sample, lower, toY);
    const above = columnsOf(pen, sample, upper, toY);
    for (let c = 0; c < below.low.length; c++) {
      if (below.high[c] > above.low[c]) pen.bar(below.start + c, 1, above.low[c], below.high[c], colour);
    }
    return;
  }
  const { ctx } = pen.flush();
  const { ring, first, exact, count } = sample;
  ctx.fillStyle = colour;
  for (let from = 0, to = 0; from < count; from = to + 1) {
    for (to = from; to < count && upper[(first + to) % ring.capacity] >= lower[(first + to) % ring.capacity]; ) to++;
    if (to === from) continue;
    const half = to - from === 1 ? 2 : 0; // a lone interval is as wide as a pen
    ctx.beginPath();
    const corner = (k, column, by) => ctx.lineTo(exact[k] + by, within(toY(column[(first + k) % ring.capacity])));
    for (let k = from; k < to; k++) corner(k, upper, -half);
    if (half) corner(from, upper, half);
    for (let k = to - 1; k >= from; k--) corner(k, lower, half);
    if (half) corner(from, lower, -half);
    ctx.fill();
  }
}

/** Shares that sum to one, heaped up: per pixel the mean of the ticks that share it. */
export function heap(sample, columns) {
  const { ring, first } = sample;
  const xs = [];
  const tops = columns.map(() => []);
  sample.groups((pixel, from, to) => {
    const sums = columns.map(() => 0);
    let finite = 0;
    for (let k = from; k < to; k++) {
      const place = (first + k) % ring.capacity;
      if (columns[0][place] !== columns[0][place]) continue;
      finite++;
      for (let c = 0; c < columns.length; c++) sums[c] += columns[c][place];
    }
    if (!finite) return;
    xs.push(pixel);
    let total = 0;
    for (let c = 0; c < columns.length; c++) tops[c].push((total += sums[c] / finite));
  });
  return { xs, tops };
}

/** Fill heaped shares, the ground showing as a seam between two of them. */
export function fillHeap(pen, sample, { xs, tops }, toY, colours, ground) {
  const n = xs.length;
  const { ratio } = pen;
  for (let i = 0; sample.dense && i < n; i++) {
    const from = Math.round((xs[i] - 0.5) * ratio);
    const wide = Math.max(1, Math.round(((xs[i + 1] ?? xs[i] + 1) - xs[i]) * ratio));
    for (let c = tops.length - 1; c >= 0; c--) {
      const top = toY(tops[c][i]) * ratio + (c === tops.length - 1 ? 0 : 1);
      pen.bar(from, wide, top, toY(c ? tops[c - 1][i] : 0) * ratio, colours[c]);
    }
  }
  const { ctx } = pen.flush();
  for (let c = tops.length - 1; c >= 0 && !sample.dense; c--) {
    ctx.beginPath();
    for (let i = 0; i < n; i++) ctx.lineTo(xs[i], toY(tops[c][i]));
    if (tops.length - 1 > c) {
      ctx.strokeStyle = ground;
      ctx.lineWidth = 2;
      ctx.stroke();
    }
    ctx.lineTo(xs[n - 1], toY(0));
    ctx.lineTo(xs[0], toY(0));
    ctx.fillStyle = colours[c];
    ctx.fill();
  }
}

/** Call `span(from pixel, to pixel)` for each stretch of ticks on which a flag stands. */
export function flagSpans(sample, flag, span) {
  const { ring, first, count, pixels } = sample;
  let began = -1;
  for (let k = 0; k <= count; k++) {
    const stands = k !== count && flag[(first + k) % ring.capacity] === 1;
    if (stands && began < 0) began = k;
    if (!stands && began >= 0) {
      span(pixels[began], Math.max(pixels[Math.min(k, count - 1)], pixels[began] + 1));
      began = -1;
    }
  }
}
