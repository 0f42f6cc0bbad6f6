// ---------------------------------------------------------------------------------------------------------------
// A tick in words: the reason of its weights and a summary for screen readers.
// ---------------------------------------------------------------------------------------------------------------

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Places of numbers, largest first; the first of equals stays first. */
function ranked(values) {
  return values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
}

/** Why the weights stand as they do: the sentence of the tick's code, filled as uspnb/session/reasons.py fills it. */
function reasonOf(row, meta) {
  const phrase = meta.phrases?.[String(row.reason)];
  if (!phrase) return "";
  const weight = meta.kernels.map(({ name }) => row[`weight_${name}`]);
  const target = meta.kernels.map(({ name }) => row[`target_weight_${name}`]);
  const missing = target.map((wanted, k) => (Number.isFinite(wanted) ? wanted - weight[k] : -Infinity));
  const order = ranked(weight);
  const wanted = ranked(missing)[0];
  const label = (k) => meta.kernels[k].label;
  const filled = {
    leader: label(order[0]),
    share: percent(weight[order[0]]),
    runner_up: label(order[1]),
    runner_share: percent(weight[order[1]]),
    target: label(wanted),
    target_share: percent(target[wanted]),
    target_has: percent(weight[wanted]),
    chart: meta.charts[row.alarm_chart]?.name ?? "",
  };
  return capital(phrase.replace(/\{(\w+)\}/g, (_, name) => filled[name] ?? ""));
}

/** Where a tick stands on the axis, in words. */
function whenOf(row, meta) {
  const tick = `tick ${grouped(row.tick)}`;
  return meta.has_times ? `${instant(row.time)} UTC, ${tick}` : tick;
}

function chartName(code, meta) {
  return meta.charts[code]?.name ?? "level";
}

/** One or two sentences on a tick, for those who do not see the picture. */
function summaryOf(row, status, meta, range) {
  const level = Number.isFinite(meta.confidence) ? `${Math.round(100 * meta.confidence)} %` : "";
  const parts = [`${capital(whenOf(row, meta))}: observation ${reading(row.observation, range)}.`];
  if (Number.isFinite(row.next_prediction)) {
    const [low, high] = [reading(row.next_lower, range), reading(row.next_upper, range)];
    parts.push(`Next forecast ${reading(row.next_prediction, range)}, ${level} interval ${low} to ${high}.`);
  }
  if (row.alarm) parts.push(`Alarm of the ${chartName(row.alarm_chart, meta)} chart.`);
  parts.push(reasonOf(row, meta));
  if (status.phase && status.phase !== "running") parts.push(`${capital(status.phase)}.`);
  return parts.join(" ");
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
