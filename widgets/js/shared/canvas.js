// A canvas as large as its place, and small signs on it: what marks an alarm, where a change began, one observation.

export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Ubuntu, 'Noto Sans', sans-serif";

/** A canvas as sharp as the screen and empty; its pen counts in CSS pixels. */
export function fitted(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

/** Begin a path through points. */
export function trace(ctx, ...points) {
  ctx.beginPath();
  for (const [x, y] of points) ctx.lineTo(x, y);
}

export function triangleDown(ctx, x, y, size, colour) {
  trace(ctx, [x - size, y - 1.6 * size], [x + size, y - 1.6 * size], [x, y]);
  ctx.fillStyle = colour;
  ctx.fill();
}

export function diamond(ctx, x, y, size, colour, inside) {
  trace(ctx, [x, y - size], [x + size, y], [x, y + size], [x - size, y]);
  ctx.closePath();
  ctx.fillStyle = inside;
  ctx.fill();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.6;
  ctx.stroke();
}

export function disc(ctx, x, y, radius, colour, rim) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = colour;
  ctx.fill();
  if (rim) {
    ctx.strokeStyle = rim;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
}

export function cross(ctx, x, y, size, colour, width = 1.4) {
  ctx.beginPath();
  ctx.moveTo(x - size, y - size);
  ctx.lineTo(x + size, y + size);
  ctx.moveTo(x - size, y + size);
  ctx.lineTo(x + size, y - size);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

export function straight(ctx, x0, y0, x1, y1, colour, dash = [], width = 1) {
  if (!dash.length && width === 1 && (x0 === x1 || y0 === y1)) {
    ctx.fillStyle = colour;
    ctx.fillRect(x0 === x1 ? x0 - 0.5 : x0, y0 === y1 ? y0 - 0.5 : y0, x1 - x0 || 1, y1 - y0 || 1);
    return;
  }
  trace(ctx, [x0, y0], [x1, y1]);
  ctx.setLineDash(dash);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.setLineDash([]);
}

/** The little sign before a name in a panel's head. */
export function swatch(ctx, kind, x, y, colour, theme) {
  if (kind === "band" || kind === "square") {
    ctx.fillStyle = colour;
    ctx.fillRect(x, y - 5, 12, 10);
  } else if (kind === "triangle") triangleDown(ctx, x + 6, y + 5, 5, colour);
  else if (kind === "diamond") diamond(ctx, x + 6, y, 4.5, colour, theme.background);
  else if (kind === "dot") disc(ctx, x + 6, y, 3.6, theme.background, colour);
  else straight(ctx, x, y + 0.5, x + 12, y + 0.5, colour, kind === "dash" ? [4, 3] : [], 2);
}
