// A tick in words: the reason of its weights and a summary for screen readers.

import { grouped, instant, percent } from "../shared/format.js";
import { reading } from "../shared/scale.js";
import { reachOf } from "./fan.js";

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Places of numbers, largest first; the first of equals stays first. */
function ranked(values) {
  return values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
}

/** Why the weights stand as they do: the sentence of the tick's code, filled as uspnb/engine/views.py fills it. */
export function reasonOf(row, meta) {
  const phrase = meta.phrases?.[String(row.reason)];
  if (!phrase) return "";
  const weight = meta.kernels.map(({ name }) => row[`weight_${name}`]);
  const target = meta.kernels.map(({ name }) => row[`target_weight_${name}`]);
  const missing = target.map((wanted, k) => (Number.isFinite(wanted) ? wanted - weight[k] : -Infinity));
  const order = ranked(weight);
  const wanted = ranked(missing)[0];
  const second = order[Math.min(1, order.length - 1)];
  const label = (k) => meta.kernels[k].label;
  const filled = {
    leader: label(order[0]),
    share: percent(weight[order[0]]),
    runner_up: label(second),
    runner_share: percent(weight[second]),
    target: label(wanted),
    target_share: percent(target[wanted]),
    target_has: percent(weight[wanted]),
    chart: meta.charts[row.alarm_chart]?.name ?? "",
  };
  return capital(phrase.replace(/\{(\w+)\}/g, (_, name) => filled[name] ?? ""));
}

/** The seasons in use and what they are worth, as uspnb/runtime/words.py says it; "" where there is none. */
export function seasonOf(row, meta) {
  const periods = Array.from({ length: meta.season_slots ?? 0 }, (_, slot) => row[`season_${slot}`]);
  const used = periods.filter((period) => period > 0).map(grouped);
  if (!used.length) return "";
  return `Season: ${used.join(" and ")} ticks; ${percent(row.season_weight)} of the Hilbert kernel's forecast comes from them.`;
}

/** Where a tick stands on the axis, in words. */
export function whenOf(row, meta) {
  const tick = `tick ${grouped(row.tick)}`;
  return meta.has_times ? `${instant(row.time)} UTC, ${tick}` : tick;
}

function chartName(code, meta) {
  return meta.charts[code]?.name ?? "level";
}

/** One or two sentences on a tick, for those who do not see the picture. */
export function summaryOf(row, status, meta, range) {
  const level = Number.isFinite(meta.confidence) ? `${Math.round(100 * meta.confidence)} %` : "";
  const parts = [`${capital(whenOf(row, meta))}: observation ${reading(row.observation, range)}.`];
  if (Number.isFinite(row.next_prediction)) {
    const [low, high] = [reading(row.next_lower, range), reading(row.next_upper, range)];
    parts.push(`Next forecast ${reading(row.next_prediction, range)}, ${level} interval ${low} to ${high}.`);
  }
  const last = reachOf(meta);
  const [low, high] = [row[`horizon_lower_${last}`], row[`horizon_upper_${last}`]].map((end) => reading(end, range));
  if (last > 1 && Number.isFinite(row[`horizon_lower_${last}`])) parts.push(`In ${last} ticks ${low} to ${high}.`);
  if (row.alarm) parts.push(`Alarm of the ${chartName(row.alarm_chart, meta)} chart.`);
  parts.push(reasonOf(row, meta), seasonOf(row, meta));
  if (status.phase && status.phase !== "running") parts.push(`${capital(status.phase)}.`);
  return parts.filter(Boolean).join(" ");
}
