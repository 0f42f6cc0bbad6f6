// Where the panels lie, their axes, heads and readings, and the crosshair.

import { FONT, disc, straight, swatch } from "../shared/canvas.js";
import { node, put } from "../shared/elements.js";
import { DAY, instant, withStep } from "../shared/format.js";
import { countTicks, timeTicks } from "../shared/scale.js";
import { fanOf } from "./fan.js";
import { PANELS } from "./panels.js";
import { Pen } from "./pen.js";
import { Sample } from "./strokes.js";
import { capital, reasonOf, seasonOf, whenOf } from "./words.js";

const GAP = 7;
const RIGHT = 10;
const AXIS = 22;
const OVERVIEW = 16;

function boxesOf(view) {
  const headHeight = view.narrow ? 18 : 20;
  const room = view.height - AXIS - OVERVIEW - 6 - PANELS.length * headHeight - (PANELS.length - 1) * GAP;
  let y = 2;
  return PANELS.map((panel) => {
    const box = { key: panel.key, head: y, headHeight, top: y + headHeight, left: view.gutter, right: view.width - RIGHT };
    box.bottom = box.top + Math.floor(room * panel.share);
    y = box.bottom + GAP;
    return box;
  });
}

/** The gutter holds the widest label and does not follow every change of it. */
function settleGutter(ctx, view, boxes) {
  ctx.font = `${view.small}px ${FONT}`;
  let widest = 0;
  for (const box of boxes) {
    const { step, values } = box.ticks;
    for (const value of values) widest = Math.max(widest, ctx.measureText(withStep(value, step)).width);
  }
  const needed = Math.ceil((widest + 14) / 8) * 8;
  if (needed > view.gutter || view.gutter - needed >= 16) view.gutter = Math.max(needed, view.narrow ? 32 : 40);
  for (const box of boxes) box.left = view.gutter;
}

export function drawPlots(view) {
  const ctx = view.plots.getContext("2d", { alpha: false });
  const { theme, ranges } = view;
  ctx.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  ctx.fillStyle = theme.background;
  ctx.fillRect(0, 0, view.width, view.height);
  view.stretch.settle(view.width - view.gutter - RIGHT);
  const boxes = (view.boxes = boxesOf(view));
  const store = view.store;
  const sample = (view.sample = new Sample(store, view.stretch.x0, view.stretch.x1));
  sample.place(view.gutter, view.width - RIGHT - view.gutter); // the crosshair, whose fan the axis covers, needs pixels
  view.fan = sample.count ? fanOf(view) : null;
  PANELS.forEach((panel, i) => {
    const box = boxes[i];
    const range = ranges[panel.key];
    if (sample.count) panel.cover(range, sample, view);
    else range.cover(NaN, NaN);
    box.ticks = range.ticks((box.bottom - box.top) / (view.narrow ? 30 : 34));
    box.toY = (value) => box.bottom - ((value - range.low) / (range.high - range.low)) * (box.bottom - box.top);
  });
  settleGutter(ctx, view, boxes);
  if (sample.left !== view.gutter) sample.place(boxes[0].left, boxes[0].right - boxes[0].left);
  view.fan?.place();
  const across = axisTicks(view, sample);
  if (view.pen?.ratio !== view.ratio) view.pen = new Pen(ctx, view.ratio);
  const upright = across.ticks.map(({ x }) => sample.toX(x));
  PANELS.forEach((panel, i) => {
    const { ticks, toY } = boxes[i];
    view.pen.begin(boxes[i], theme, ticks.values.map(toY), upright);
    if (!sample.count) view.pen.flush();
    ctx.save();
    ctx.beginPath();
    ctx.rect(boxes[i].left, boxes[i].top, boxes[i].right - boxes[i].left, boxes[i].bottom - boxes[i].top);
    ctx.clip();
    if (sample.count) panel.draw(view.pen, boxes[i], sample, view);
    ctx.restore();
    drawFrame(ctx, boxes[i], view, sample);
  });
  drawTimeAxis(ctx, boxes[boxes.length - 1], across, view, sample);
  drawOverview(ctx, boxes[boxes.length - 1], view);
  if (!sample.count) drawWaiting(ctx, boxes[0], view);
}

function axisTicks(view, sample) {
  const most = Math.max(2, Math.floor(sample.width / (view.narrow ? 72 : 96)));
  const find = view.meta.has_times ? timeTicks : countTicks;
  if (!sample.count) return { step: 1, ticks: [] };
  const across = find(sample.x0, sample.x1, most);
  // A fan with a scale of its own lies beyond what the axis names.
  const newest = view.fan?.stretched ? sample.ring.xAt(sample.ring.high - 1) : Infinity;
  return { ...across, ticks: across.ticks.filter(({ x }) => newest >= x) };
}

function drawFrame(ctx, box, view, sample) {
  const { theme } = view;
  ctx.font = `${view.small}px ${FONT}`;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.fillStyle = theme.muted;
  for (const value of sample.count ? box.ticks.values : []) {
    const y = box.toY(value);
    if (y > box.bottom + 1 || box.top - 1 > y) continue;
    ctx.fillText(withStep(value, box.ticks.step), box.left - 6, Math.min(y, box.bottom - 3));
  }
  straight(ctx, box.left + 0.5, box.top, box.left + 0.5, box.bottom, theme.axis);
  straight(ctx, box.left, box.bottom + 0.5, box.right, box.bottom + 0.5, theme.axis);
}

function drawTimeAxis(ctx, box, across, view, sample) {
  const { theme } = view;
  const y = box.bottom + 13;
  ctx.font = `${view.small}px ${FONT}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const name = view.meta.has_times ? "UTC" : "tick";
  const nameAt = box.right - ctx.measureText(name).width;
  ctx.fillStyle = theme.muted;
  ctx.fillText(name, nameAt, y);
  let free = box.left - view.gutter + 2;
  const context = view.meta.has_times && sample.count ? contextOf(across, sample.x0) : "";
  if (context) {
    ctx.fillText(context, free, y);
    free += ctx.measureText(context).width + 10;
  }
  ctx.textAlign = "center";
  for (const { x, text } of across.ticks) {
    const at = sample.toX(x);
    const half = ctx.measureText(text).width / 2;
    if (at - half < free || at + half > nameAt - 8) continue;
    free = at + half + 10;
    straight(ctx, Math.round(at) + 0.5, box.bottom, Math.round(at) + 0.5, box.bottom + 4, theme.axis);
    ctx.fillStyle = view.meta.has_times && x % DAY === 0 && DAY > across.step ? theme.text : theme.muted;
    ctx.fillText(text, at, y);
  }
}

/** The day or the year that the names of the ticks leave open, for the left end of the axis. */
function contextOf(across, x0) {
  const { step, ticks } = across;
  if (DAY > step && !ticks.some(({ x }) => x % DAY === 0)) return instant(Math.floor(x0 / DAY) * DAY, DAY);
  const named = ticks.some(({ text }) => /^\d{4}$/.test(text));
  return step >= 12 * 28 * DAY || named ? "" : String(new Date(x0).getUTCFullYear());
}

/** The whole run as a bar: what is shown of it, and where the alarms are. */
function drawOverview(ctx, box, view) {
  const { theme } = view;
  const { ring } = view.link;
  const bar = { left: box.left, right: box.right, top: box.bottom + AXIS + 4, bottom: box.bottom + AXIS + OVERVIEW - 2 };
  view.overview = bar;
  const width = bar.right - bar.left;
  const toX = (tick) => bar.left + (tick / Math.max(ring.high - 1, 1)) * width;
  ctx.fillStyle = theme.raised;
  ctx.fillRect(bar.left, bar.top, width, bar.bottom - bar.top);
  const { sample } = view;
  if (!ring.count || !sample.count) return;
  const from = toX(sample.first);
  const to = Math.max(toX(sample.stop - 1), from + 6);
  ctx.fillStyle = theme.band;
  ctx.fillRect(from, bar.top, to - from, bar.bottom - bar.top);
  ctx.fillStyle = theme.alarm;
  for (const { tick } of ring.alarms) ctx.fillRect(Math.round(toX(tick)) - 0.5, bar.top + 1, 1.5, bar.bottom - bar.top - 2);
  ctx.strokeStyle = theme.forecast;
  ctx.lineWidth = 1;
  ctx.strokeRect(from + 0.5, bar.top + 0.5, Math.max(to - from - 1, 4), bar.bottom - bar.top - 1);
}

function drawWaiting(ctx, box, view) {
  ctx.font = `14px ${FONT}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = view.theme.muted;
  const { phase, message } = view.link.status;
  const starts = phase === "starting" || phase === "running";
  const text = starts ? capital(message || "the first ticks are on their way") : "No ticks yet. Press play.";
  ctx.fillText(text, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
}

/** Heads with their readings, crosshair, brush, and the texts below the plots. */
export function drawOver(view) {
  const ctx = view.over.getContext("2d");
  ctx.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  ctx.clearRect(0, 0, view.width, view.height);
  const { boxes, sample, theme, meta } = view;
  if (!boxes || !sample) return;
  const row = view.shownRow;
  const items = PANELS.map((panel) => (row ? panel.items(row, view, view.ranges[panel.key]) : []));
  PANELS.forEach((panel, i) => {
    drawHead(ctx, boxes[i], panel.title(meta, view.narrow), items[i], view, !view.narrow);
  });
  const crosshair = view.crosshair;
  if (row && crosshair !== null && row.tick === crosshair) drawCrosshair(ctx, view, row);
  if (view.brushed) {
    ctx.fillStyle = theme.band;
    const [from, to] = view.brushed;
    ctx.fillRect(from, boxes[0].top, to - from, boxes[boxes.length - 1].bottom - boxes[0].top);
  }
  showTexts(view, row, items);
}

/** The head of a panel: its name, then sign, name and reading of each item that fits. */
function drawHead(ctx, box, title, items, view, withValues) {
  const { theme, small } = view;
  const middle = box.head + box.headHeight / 2;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.font = `600 ${small}px ${FONT}`;
  ctx.fillStyle = theme.text;
  ctx.fillText(title, box.left, middle);
  let x = box.left + view.measured(ctx, title) + 16;
  ctx.font = `${small}px ${FONT}`;
  for (const item of items) {
    const name = view.measured(ctx, item.name);
    const value = withValues && item.value ? view.widthOf(ctx, `${box.key}.${item.name}`, item.value) : 0;
    const width = 17 + name + (value ? value + 5 : 0);
    if (x + width > box.right) continue;
    swatch(ctx, item.kind, x, middle, item.colour, theme);
    ctx.fillStyle = theme.muted;
    ctx.fillText(item.name, x + 17, middle);
    if (value) {
      ctx.fillStyle = theme.text;
      ctx.fillText(item.value, x + 17 + name + 5, middle);
    }
    x += width + 14;
  }
}

/** A label on a small plate, kept inside [left, right]. */
function plate(ctx, text, x, y, left, right, view) {
  ctx.font = `${view.small}px ${FONT}`;
  const half = ctx.measureText(text).width / 2 + 7;
  const centre = Math.max(left + half, Math.min(right - half, x));
  ctx.fillStyle = view.theme.text;
  ctx.beginPath();
  ctx.roundRect(centre - half, y - 9, 2 * half, 18, 4);
  ctx.fill();
  ctx.fillStyle = view.theme.background;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, centre, y + 0.5);
}

function drawCrosshair(ctx, view, row) {
  const { boxes, sample, theme } = view;
  const store = view.store;
  const at = store.xAt(row.tick);
  const x = sample.toX(at);
  if (x < sample.left - 1 || x > sample.left + sample.width + 1) return;
  const line = Math.round(x) + 0.5;
  PANELS.forEach((panel, i) => {
    const box = boxes[i];
    straight(ctx, line, box.top, line, box.bottom, theme.cross, view.pinned === null ? [3, 3] : []);
    for (const [value, colour] of panel.points(row, view)) {
      const y = box.toY(value);
      if (y >= box.top - 1 && box.bottom + 1 >= y) disc(ctx, x, y, 3.5, colour, theme.background);
    }
  });
  plate(ctx, whenOf(row, view.meta), x, boxes[boxes.length - 1].bottom + 13, 2, view.width - 2, view);
}

/** Where the heads are too short for readings these stand in a list below; the reason stands below in any case. */
function showTexts(view, row, items) {
  const { readings, reason, meta } = view;
  const label = `${meta.title || "Series"}, live view. Question mark lists the keys.`;
  if (view.label !== label) view.root.setAttribute("aria-label", (view.label = label));
  const why = row ? [reasonOf(row, meta), seasonOf(row, meta)].filter(Boolean).join(" ") : "";
  put(reason, why);
  readings.hidden = !view.narrow || !row;
  if (readings.hidden) return;
  const flat = [{ name: "at", value: whenOf(row, meta) }, ...items.flat().filter(({ value, fixed }) => value && !fixed)];
  while (readings.children.length > flat.length) readings.lastChild.remove();
  flat.forEach(({ name, value, colour }, i) => {
    let line = readings.children[i];
    if (!line) readings.append((line = node("div", "", {}, [node("span", "uspnb-name"), node("span", "uspnb-value")])));
    put(line.firstChild, name);
    line.style.setProperty("--sign", colour ?? "transparent");
    put(line.lastChild, value);
  });
}
