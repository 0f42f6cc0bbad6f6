// The four panels.  Each says how much of the height it wants, what its axis must cover, how it is drawn, and which
// readings stand in its head at a tick.

import { FONT, cross, diamond, disc, straight, triangleDown } from "../shared/canvas.js";
import { percent, withStep } from "../shared/format.js";
import { reading } from "../shared/scale.js";
import { INK_ON_COLOUR, ONSET } from "../shared/theme.js";
import { reachOf } from "./fan.js";
import { fillBetween, fillHeap, flagSpans, heap, strokeColumn, within } from "./strokes.js";

const SPARSE = 5;
const DASH = [5, 4];

const forecastPanel = {
  key: "forecast",
  share: 0.43,
  title: (meta) => (meta.units ? `Forecast [${meta.units}]` : "Forecast"),
  describe: "observation, forecast and interval",

  cover(range, sample, view) {
    const ring = sample.ring;
    const observed = sample.extent([ring.column("observation")], 0, ring.column("rejected"));
    // The first intervals are wide because little is known; the widest ends do not press everything else flat.
    const [lower] = sample.extent([ring.column("lower")], 0.04);
    const [, upper] = sample.extent([ring.column("upper")], 0.04);
    const ends = [...observed, lower, upper];
    if (view.showsNewest) ends.push(ring.at("next_prediction", ring.high - 1));
    const finite = ends.filter(Number.isFinite);
    if (view.fan) finite.push(...view.fan.reach(Math.min(...finite), Math.max(...finite)));
    range.cover(Math.min(...finite), Math.max(...finite));
  },

  draw(pen, box, sample, view) {
    const { theme } = view;
    const ring = sample.ring;
    const rejected = ring.column("rejected");
    fillBetween(pen, sample, ring.column("lower"), ring.column("upper"), box.toY, theme.band);
    view.fan?.fill(pen, box, theme);
    // The forecast lies close to what came: the wide line below, the thin one above, so that both are seen.
    const width = sample.close ? 1.6 : 2.2;
    strokeColumn(pen, sample, ring.column("prediction"), box.toY, theme.forecast, { width });
    strokeColumn(pen, sample, ring.column("observation"), box.toY, theme.observed, { width: 1, leaveOut: rejected });
    const { ctx } = pen.flush();
    this.marks(ctx, box, sample, view, true);
    if (sample.spacing > SPARSE) {
      for (let tick = sample.first; tick < sample.stop; tick++) {
        const y = box.toY(ring.at("observation", tick));
        if (Number.isFinite(y) && !ring.at("rejected", tick)) {
          disc(ctx, sample.toX(ring.xAt(tick)), y, Math.min(3, sample.spacing / 3), theme.observed);
        }
      }
    }
    this.standIns(ctx, box, sample, theme);
    this.refused(ctx, box, sample, theme);
    view.fan?.draw(ctx, box, theme);
    view.fan?.name(ctx, box, view);
    if (view.showsNewest && view.fan?.tick !== ring.high - 1) this.ahead(ctx, box, sample, view);
    this.marks(ctx, box, sample, view, false);
  },

  /** Forecasts that took the place of a missing or refused value, as hollow discs. */
  standIns(ctx, box, sample, theme) {
    const ring = sample.ring;
    const imputed = ring.column("imputed");
    let last = -10;
    for (let k = 0; k < sample.count; k++) {
      const place = (sample.first + k) % ring.capacity;
      if (imputed[place] !== 1 || sample.pixels[k] - last < 5) continue;
      const y = box.toY(ring.column("prediction")[place]);
      if (!Number.isFinite(y)) continue;
      last = sample.pixels[k];
      disc(ctx, last, y, 2.5, theme.background, theme.forecast);
    }
  },

  /** Ticks that the gate refused, at the edge where they lie outside. */
  refused(ctx, box, sample, theme) {
    const ring = sample.ring;
    const rejected = ring.column("rejected");
    let last = -10;
    for (let k = 0; k < sample.count; k++) {
      const place = (sample.first + k) % ring.capacity;
      if (rejected[place] !== 1 || sample.pixels[k] - last < 3) continue;
      const y = box.toY(ring.column("observation")[place]);
      if (!Number.isFinite(y)) continue;
      last = sample.pixels[k];
      cross(ctx, last, Math.max(box.top + 5, Math.min(box.bottom - 5, y)), 3, theme.alarm);
    }
  },

  /** The forecast of the tick that is yet to come. */
  ahead(ctx, box, sample, view) {
    const { theme } = view;
    const ring = sample.ring;
    const tick = ring.high - 1;
    const middle = ring.at("next_prediction", tick);
    if (!Number.isFinite(middle)) return;
    const now = sample.toX(ring.xAt(tick));
    const x = Math.min(Math.max(sample.toX(ring.xAt(tick) + ring.interval()), now + 12), sample.left + sample.width - 6);
    const ends = [ring.at("next_lower", tick), ring.at("next_upper", tick)].map((v) => within(box.toY(v)));
    straight(ctx, Math.round(now) + 0.5, box.top, Math.round(now) + 0.5, box.bottom, theme.grid);
    straight(ctx, x, ends[0], x, ends[1], theme.forecast, [], 1.5);
    for (const y of ends) straight(ctx, x - 4, y, x + 4, y, theme.forecast, [], 1.5);
    straight(ctx, now, box.toY(ring.at("observation", tick)), x, box.toY(middle), theme.forecast, [2, 2], 1);
    disc(ctx, x, box.toY(middle), 3.6, theme.background, theme.forecast);
  },

  /** Alarms, and where the change behind each began: lines below the data, signs above it. */
  marks(ctx, box, sample, view, below) {
    const { theme } = view;
    const ring = sample.ring;
    const shown = ring.alarms.filter(({ tick }) => tick >= sample.first && sample.stop > tick);
    for (const { tick, onset } of shown) {
      const x = sample.toX(ring.xAt(tick));
      const began = Number.isFinite(onset) && onset >= ring.low ? sample.toX(ring.xAt(onset)) : null;
      if (below) {
        if (began !== null && 30 > shown.length) straight(ctx, began, box.top, began, box.bottom, ONSET, [3, 4]);
        continue;
      }
      if (began !== null) {
        const y = box.toY(ring.at("observation", onset));
        if (Number.isFinite(y)) diamond(ctx, began, y, 4.5, ONSET, theme.background);
      }
      const y = box.toY(ring.at("observation", tick));
      triangleDown(ctx, x, Math.max(box.top + 11, (Number.isFinite(y) ? y : box.top) - 6), 5.5, theme.alarm);
    }
  },

  items(row, view, range) {
    const { theme, meta } = view;
    const level = Number.isFinite(meta.confidence) ? `${Math.round(100 * meta.confidence)} % interval` : "interval";
    const between = (low, high) => (Number.isFinite(low) ? `${reading(low, range)} to ${reading(high, range)}` : "-");
    return [
      { name: "observation", value: reading(row.observation, range), kind: "line", colour: theme.observed },
      { name: "forecast", value: reading(row.prediction, range), kind: "line", colour: theme.forecast },
      { name: level, value: between(row.lower, row.upper), kind: "band", colour: theme.band },
      { name: "next", value: reading(row.next_prediction, range), kind: "dot", colour: theme.forecast },
      ...this.later(row, view, between),
      ...(row.imputed ? [{ name: "imputed", kind: "dot", colour: theme.forecast }] : []),
      { name: "alarm", kind: "triangle", colour: theme.alarm },
      { name: "change began", kind: "diamond", colour: ONSET },
    ];
  },

  /** The interval of the longest horizon. */
  later(row, view, between) {
    const last = reachOf(view.meta);
    const [low, high] = [row[`horizon_lower_${last}`], row[`horizon_upper_${last}`]];
    if (last === 1 || !Number.isFinite(low)) return [];
    return [{ name: `in ${last}`, value: between(low, high), kind: "band", colour: view.theme.band }];
  },

  points: (row, view) => [[row.observation, view.theme.observed], [row.prediction, view.theme.forecast]],
};

const weightsPanel = {
  key: "weights",
  share: 0.21,
  title: () => "Weights",
  describe: "share of each kernel in the forecast",

  cover: (range) => range.cover(0, 1, [0, 1]),

  draw(pen, box, sample, view) {
    const ring = sample.ring;
    const heaped = heap(sample, view.meta.kernels.map(({ name }) => ring.column(`weight_${name}`)));
    const colours = view.meta.kernels.map(({ colour }) => colour);
    fillHeap(pen, sample, heaped, box.toY, colours, view.theme.background);
    this.names(pen.ctx, box, heaped.xs, heaped.tops, view);
    flagSpans(sample, ring.column("degraded"), (from, to) => {
      pen.ctx.fillStyle = view.theme.text;
      pen.ctx.fillRect(from, box.top, Math.max(to - from, 1), 3);
    });
  },

  /** Each name inside its own band, as far to the right as it fits with room above and below. */
  names(ctx, box, xs, tops, view) {
    ctx.font = `600 ${view.small}px ${FONT}`;
    ctx.fillStyle = INK_ON_COLOUR;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    view.meta.kernels.forEach(({ label }, c) => {
      const half = ctx.measureText(label).width / 2 + 5;
      const spot = this.spot(box, xs, tops, c, half, view);
      if (spot) ctx.fillText(label, spot[0], spot[1] + 0.5);
    });
  },

  spot(box, xs, tops, c, half, view) {
    const needed = view.small + 4;
    const last = xs[xs.length - 1] - half;
    const stride = Math.max(12, (box.right - box.left) / 40);
    for (let centre = last; centre - half > box.left; centre -= stride) {
      let top = -Infinity;
      let bottom = Infinity;
      for (let i = xs.length - 1; i >= 0 && xs[i] >= centre - half; i--) {
        if (xs[i] > centre + half) continue;
        top = Math.max(top, box.toY(tops[c][i]));
        bottom = Math.min(bottom, box.toY(c ? tops[c - 1][i] : 0));
      }
      if (bottom - top >= needed) return [centre, (top + bottom) / 2];
    }
    return null;
  },

  items(row, view) {
    const items = view.meta.kernels.map(({ name, label, colour }) => ({
      name: label, value: row[`kernel_failed_${name}`] ? "failed" : percent(row[`weight_${name}`]), kind: "square", colour,
    }));
    return [...items, { name: "held", kind: "line", colour: view.theme.text }];
  },

  points: () => [],
};

const holderPanel = {
  key: "holder",
  share: 0.16,
  title: () => "Holder exponent",
  describe: "roughness of the path",

  cover(range, sample, view) {
    const [low, high] = sample.extent([sample.ring.column("holder_exponent")]);
    const threshold = view.meta.holder_threshold;
    range.cover(Math.min(low, threshold) - 0.02, Math.max(high, threshold) + 0.02);
  },

  draw(pen, box, sample, view) {
    const { theme, meta } = view;
    const { ratio } = pen;
    const ring = sample.ring;
    flagSpans(sample, ring.column("emergency"), (from, to) => {
      const wide = Math.max(1, Math.round((to - from) * ratio));
      pen.bar(Math.round(from * ratio), wide, box.top * ratio, box.bottom * ratio, theme.emergency);
    });
    const since = Math.min(ring.firstValid, sample.stop);
    strokeColumn(pen, sample, ring.column("holder_exponent"), box.toY, theme.forecast, { width: 1.5, since });
    const { ctx } = pen.flush();
    const y = Math.round(box.toY(meta.holder_threshold)) + 0.5;
    straight(ctx, box.left, y, box.right, y, theme.observed, DASH, 1.3);
  },

  items(row, view) {
    const { theme, meta } = view;
    const measured = row.tick >= view.store.firstValid;
    return [
      { name: "exponent", value: measured ? withStep(row.holder_exponent, 0.01) : "-", kind: "line", colour: theme.forecast },
      { name: "rough below", value: withStep(meta.holder_threshold, 0.01), kind: "dash", colour: theme.observed, fixed: true },
      { name: "emergency", value: row.emergency ? "yes" : "no", kind: "band", colour: theme.emergency },
    ];
  },

  points: (row, view) => (row.tick >= view.store.firstValid ? [[row.holder_exponent, view.theme.forecast]] : []),
};

const chartsPanel = {
  key: "charts",
  share: 0.2,
  title: (meta, narrow) => (narrow ? "Alarm charts" : "Alarm charts, share of threshold"),
  describe: "alarm charts as a share of their thresholds",

  /** Statistic over threshold, kept beside the ring's columns and brought up to date as ticks come. */
  shares(ring, meta) {
    ring.shares ??= meta.charts.map(() => new Float64Array(ring.capacity));
    if (ring.sharesFrom === undefined || ring.sharesFrom > ring.high || ring.low > ring.sharesFrom) {
      ring.sharesFrom = ring.low;
    }
    meta.charts.forEach(({ name }, c) => {
      const statistic = ring.column(`chart_${name}`);
      const threshold = ring.column(`chart_threshold_${name}`);
      for (let tick = ring.sharesFrom; tick < ring.high; tick++) {
        const place = tick % ring.capacity;
        ring.shares[c][place] = threshold[place] > 0 ? statistic[place] / threshold[place] : NaN;
      }
    });
    ring.sharesFrom = ring.high;
    return ring.shares;
  },

  cover(range, sample, view) {
    const [, high] = sample.extent(this.shares(sample.ring, view.meta));
    range.cover(0, Math.min(Math.max(1.12, Number.isFinite(high) ? high : 0), 4), [0, null]);
  },

  draw(pen, box, sample, view) {
    const { theme, meta } = view;
    const shares = this.shares(sample.ring, meta);
    const y = Math.round(box.toY(1)) + 0.5;
    meta.charts.forEach(({ colour }, c) => strokeColumn(pen, sample, shares[c], box.toY, colour));
    const { ctx } = pen.flush();
    straight(ctx, box.left, y, box.right, y, theme.alarm, DASH, 1.3);
    for (const { tick } of sample.ring.alarms) {
      if (tick >= sample.first && sample.stop > tick) {
        triangleDown(ctx, sample.toX(sample.ring.xAt(tick)), y - 1, 4.5, theme.alarm);
      }
    }
  },

  items(row, view) {
    const items = view.meta.charts.map(({ name, colour }) => ({
      name, value: percent(row[`chart_${name}`] / row[`chart_threshold_${name}`]), kind: "line", colour,
    }));
    return [...items, { name: "alarm at", value: "100 %", kind: "dash", colour: view.theme.alarm, fixed: true }];
  },

  points: (row, view) =>
    view.meta.charts.map(({ name, colour }) => [row[`chart_${name}`] / row[`chart_threshold_${name}`], colour]),
};

export const PANELS = [forecastPanel, weightsPanel, holderPanel, chartsPanel];
