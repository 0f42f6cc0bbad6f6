"""The live view's module in a bare page: made-up ticks, frames of them, keys."""

from __future__ import annotations

from typing import Any

import module_host as hosting
import numpy as np
from default_columns import VIEW_COLUMNS
from playwright.sync_api import ViewportSize

from uspnb.config.schema import PredictorConfig
from uspnb.engine.views import PHRASES
from uspnb.widgets.live_link import fixed_meta, meta_of

WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=390, height=844)
AT = {name: k for k, name in enumerate(VIEW_COLUMNS)}
HALF_HOUR_MS = 1_800_000.0
HORIZONS, LEVELS = PredictorConfig().horizons, PredictorConfig().interval_levels
# Columns in the unit of the series.
SIGNAL = [k for k, name in enumerate(VIEW_COLUMNS) if name.startswith(("next_", "horizon_"))] + [
    AT[name] for name in ("observation", "prediction", "lower", "upper")
]
# What the view's own objects say.
RANGE = "(() => { const r = window.view.uspnb.view.ranges.forecast; return [r.low, r.high]; })()"
SHOWN = "(() => { const s = window.view.uspnb.view.sample; return [s.first, s.stop, s.ring.low]; })()"
KEPT = "(() => { const r = window.view.uspnb.link.ring; return [r.low, r.high, r.at('tick', r.low)]; })()"
DRAW_MS = """(() => {
  const { view } = window.view.uspnb;
  const spent = [];
  for (let k = 0; k < 15; k++) {
    view.stale.plots = true;
    const began = performance.now();
    view.draw();
    spent.push(performance.now() - began);
  }
  return Math.min(...spent);
})()"""
BOXES = """[...window.view.children]
  .filter((e) => e.offsetHeight > 2 && !e.className.includes("notice"))
  .map((e) => [e.className, e.offsetLeft, e.offsetTop, e.offsetLeft + e.offsetWidth, e.offsetTop + e.offsetHeight])"""

TEXTS = """
() => {
  window.texts = new Map();
  const write = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    const { width } = this.measureText(text);
    const left = this.textAlign === "center" ? x - width / 2 : this.textAlign === "right" ? x - width : x;
    const size = parseFloat(this.font.match(/(\\d+)px/)[1]);
    const list = window.texts.get(this.canvas.className) ?? [];
    list.push([text, left, y - size / 2, left + width, y + size / 2]);
    window.texts.set(this.canvas.className, list);
    return write.call(this, text, x, y);
  };
  const clear = CanvasRenderingContext2D.prototype.setTransform;
  CanvasRenderingContext2D.prototype.setTransform = function (...all) {
    window.texts.set(this.canvas.className, []);
    return clear.apply(this, all);
  };
}
"""


class Series:
    """What the meta says of a session."""

    title, units, has_times, live, reasons = "sea temperature", "degC", True, False, PHRASES
    holder_threshold, confidence_level, config = 0.4, 0.9, PredictorConfig()


def rows_of(ticks: int, first: int = 0, seed: int = 1) -> np.ndarray:
    """Made-up rows in which every panel has something to show."""
    draw = np.random.default_rng(seed)
    rows = np.zeros((first + ticks, len(VIEW_COLUMNS)))
    tick = np.arange(len(rows), dtype=float)
    y = 10 + np.sin(tick / 300) + np.cumsum(draw.normal(0, 0.02, len(rows)))
    weights = np.exp(np.stack([np.sin(tick / 200 + k) for k in range(4)], axis=1))
    columns = {"tick": tick, "time": 1.45e12 + tick * HALF_HOUR_MS, "observation": y, "prediction": np.roll(y, 1),
            "lower": y - 0.3, "upper": y + 0.3, "next_prediction": y, "next_lower": y - 0.3, "next_upper": y + 0.3,
            "holder_exponent": 0.6 + 0.2 * np.sin(tick / 90), "holder_valid": 1.0, "alarm": tick % 700 == 699,
            "alarm_chart": 1.0, "onset_tick": np.where(tick % 700 == 699, tick - 20, np.nan),
            "emergency": (tick % 900 > 850) * 1.0, "reason": 12.0}  # fmt: skip
    for h in HORIZONS:
        spread = 0.1 * h**0.5
        columns |= {f"horizon_prediction_{h}": y, f"horizon_lower_{h}": y - spread, f"horizon_upper_{h}": y + spread}
        columns |= {f"horizon_level_width_{h}_{level}": level * spread for level in LEVELS}
    for name, column in columns.items():
        rows[:, AT[name]] = column
    rows[:, AT["weight_hilbert"] : AT["weight_hilbert"] + 4] = weights / weights.sum(1, keepdims=True)
    rows[:, AT["target_weight_hilbert"] : AT["target_weight_hilbert"] + 4] = (
        weights[::-1] / weights[::-1].sum(1)[:, None]
    )
    rows[:, AT["chart_mean"] : AT["chart_mean"] + 3] = np.abs(np.sin(tick[:, None] / 50 + np.arange(3)))
    rows[:, AT["chart_threshold_mean"] : AT["chart_threshold_mean"] + 3] = 1.1
    return rows[first:]


class Host(hosting.ModuleHost):
    """The live view's module."""

    name, sheet, root = "live", "live_view", ".uspnb-live"

    def open(self, meta: dict[str, Any] | None = None, **options: Any) -> Host:
        whole = fixed_meta(Series()) | meta_of(Series(), 10_000) | (meta or {})  # type: ignore[arg-type]
        values = {"meta": whole, "status": {"phase": "running", "ticks": 0}, "toolbar": True, "height": 640}
        self.load(values | options, TEXTS)
        return self

    def send(self, rows: np.ndarray, reset: bool = False, kind: int = 0, draw: bool = True) -> int:
        self.seq += 1
        first = rows[0, 0] if len(rows) else 0
        head = [self.seq, reset, first, *rows.shape, 0, first + len(rows), kind, 0, 0]
        self.frame(np.concatenate([np.array(head, float), rows.ravel()]).astype("<f8").tobytes())
        if draw:
            self.settle()
        return self.seq

    def send_blank(self, ticks: int, first: int = 0, reset: bool = False) -> None:
        """Many ticks that are made in the browser: each holds its number, a time and a value."""
        self.seq += 1
        self.page.evaluate(
            """([seq, reset, first, ticks, width, value]) => {
              const numbers = new Float64Array(10 + ticks * width);
              numbers.set([seq, reset, first, ticks, width, 0, first + ticks]);
              for (let k = 0; k < ticks; k++) {
                numbers[10 + k * width] = numbers[10 + k * width + 1] = first + k;
                numbers[10 + k * width + value] = Math.sin((first + k) / 50);
              }
              window.host.push("frame", new DataView(numbers.buffer));
            }""",
            [self.seq, int(reset), first, ticks, len(VIEW_COLUMNS), AT["observation"]],
        )
        self.settle()

    def key(self, *keys: str) -> None:
        self.page.evaluate("window.view.focus()")
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()
