// The fan: what a tick forecast of the ticks after it, as bands of every level over the ladder of horizons.

import { FONT, disc, straight } from "../shared/canvas.js";
import { fillBetween, within } from "./strokes.js";

const LEAST_SHARE = 0.11;
const LEAST_PX = 44;
const SEEN_PX = 12;
const APART_PX = 6;

/** The longest horizon [ticks]; 1 where nothing is forecast beyond the next tick. */
export const reachOf = (meta) => Math.max(1, ...(meta.horizons ?? []));

/** Pixels that the fan of the newest tick takes at least, however many ticks stand before it; 0 where there is none. */
export function leastRoom(meta, width) {
  return reachOf(meta) > 1 ? Math.max(LEAST_PX, LEAST_SHARE * width) : 0;
}

/** The fan of the tick under the crosshair, where it is wide enough to be seen, else of the newest; null for none. */
export function fanOf(view) {
  if (reachOf(view.meta) === 1) return null;
  const { crosshair, store } = view;
  const { ring } = view.link;
  const known = store.row(crosshair ?? -1);
  if (known && crosshair !== ring.high - 1) {
    const fan = new Fan(view, store, known);
    if (fan.finite && fan.length > SEEN_PX) return fan;
  }
  const fan = view.showsNewest ? new Fan(view, ring, ring.row(ring.high - 1)) : null;
  return fan?.finite ? fan : null;
}

/** A tick's forecasts as a few points, which the strokes draw as they draw the ticks of a sample. */
class Fan {
  constructor(view, store, row) {
    const { horizons, levels, confidence } = view.meta;
    const known = horizons.filter((h) => Number.isFinite(row[`horizon_prediction_${h}`]));
    const from = row.rejected || !Number.isFinite(row.observation) ? row.prediction : row.observation;
    const along = (name) => Float64Array.from([from, ...known.map((h) => row[`${name}_${h}`])]);
    Object.assign(this, { view, store, tick: row.tick, ahead: [0, ...known], newest: store === view.link.ring });
    this.finite = known.length > 0;
    this.mean = along("horizon_prediction");
    this.lower = along("horizon_lower");
    this.upper = along("horizon_upper");
    this.bands = [{ level: confidence, lower: this.lower, upper: this.upper }];
    for (const level of levels) {
      const half = known.map((h) => row[`horizon_level_width_${h}_${level}`]);
      const upper = this.mean.map((mean, k) => (k ? mean + half[k - 1] : mean));
      // Where there is nothing below 0, no inner interval reaches further down than the outer one.
      const down = (mean, k) => (k ? Math.max(mean - half[k - 1], level > confidence ? -Infinity : this.lower[k]) : mean);
      this.bands.push({ level, lower: this.mean.map(down), upper });
    }
    this.bands.sort((a, b) => b.level - a.level);
    this.place();
  }

  /** Pixels of its points: those of ticks that have come, and beyond the newest as far apart as ticks usually are. */
  place() {
    const { store, tick } = this;
    const { sample, meta } = this.view;
    const last = store.high - 1;
    const step = store.interval() * sample.scale;
    // Where the whole run is shown the fan would be a sliver: beyond the newest tick it has a scale of its own.
    const wide = this.newest ? Math.max(step, leastRoom(meta, sample.width) / reachOf(meta)) : step;
    const pixel = (at) => sample.toX(store.xAt(Math.min(at, last))) + Math.max(0, at - last) * wide;
    const count = this.ahead.length;
    this.exact = Float32Array.from(this.ahead, (h) => pixel(tick + h));
    this.length = this.exact[count - 1] - this.exact[0];
    this.stretched = wide > 1.001 * step;
    Object.assign(this, { first: 0, count, ring: { capacity: count } });
    Object.assign(this, { close: sample.close, left: sample.left, width: sample.width });
  }

  /** What the value axis makes room for: the means, and the ends as far as half of the data's height beyond it. */
  reach(low, high) {
    const most = 0.5 * (high - low);
    const values = [...this.bands[0].lower, ...this.bands[0].upper].filter(Number.isFinite);
    const ends = values.map((v) => Math.max(low - most, Math.min(high + most, v)));
    return [...ends, ...this.mean.filter(Number.isFinite)];
  }

  /** Its bands, the wide ones below. */
  fill(pen, box, theme) {
    for (const { lower, upper } of this.bands) fillBetween(pen, this, lower, upper, box.toY, theme.band);
  }

  /** Where it begins, and its mean: discs at the horizons that are forecast, a dashed line between them. */
  draw(ctx, box, theme) {
    const { exact, mean } = this;
    straight(ctx, Math.round(exact[0]) + 0.5, box.top, Math.round(exact[0]) + 0.5, box.bottom, theme.grid);
    let last = exact[0];
    for (let k = 1; k < this.count; k++) {
      const [from, to] = [k - 1, k].map((at) => within(box.toY(mean[at])));
      straight(ctx, exact[k - 1], from, exact[k], to, theme.forecast, [3, 2], 1.5);
      if (APART_PX > exact[k] - last || !Number.isFinite(to)) continue;
      last = exact[k];
      disc(ctx, last, to, 2.2, theme.forecast);
    }
  }

  /** How many ticks it is long, at the foot of the panel, where there is room for it. */
  name(ctx, box, view) {
    const last = this.ahead[this.count - 1];
    ctx.font = `${view.small}px ${FONT}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = view.theme.muted;
    const right = Math.min(this.exact[this.count - 1], box.right);
    const text = [`next ${last} ticks`, `+${last}`].find((one) => view.measured(ctx, one) + 6 < right - this.exact[0]);
    if (text) ctx.fillText(text, (this.exact[0] + right) / 2, box.bottom - 9);
  }
}
