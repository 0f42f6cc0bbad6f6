"""A stand-in for JupyterLab and Panel: loads the tuning monitor's module into a bare page and hears what it says.

Loaded by path, because test folders are no packages.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from uspnb.widgets.tuning_link import css, esm
from uspnb.widgets.tuning_trials import FACTS, STATES, TrialStream

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HOST = """
async ([source, style, meta]) => {
  document.documentElement.lang = "en";
  document.title = "under test";
  document.body.innerHTML = "<main><h1>Tune</h1><div id='place'></div></main>";
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const module = await import(url);
  const values = { meta, theme: "auto" };
  const watchers = {};
  window.sent = [];
  const host = window.host = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; window.sent.push([name, value]); },
    save_changes() {},
    on: (name, callback) => (watchers[name] ??= []).push(callback),
    off(name, callback) { watchers[name] = watchers[name].filter((kept) => kept !== callback); },
    push(name, value) {
      values[name] = value;
      for (const callback of watchers[`change:${name}`] ?? []) callback();
    },
    frame(text) {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      // Hosts hand over a view into a larger buffer, not always at a multiple of eight.
      const shifted = new Uint8Array(bytes.length + 5);
      shifted.set(bytes, 5);
      host.push("frame", new DataView(shifted.buffer, 5));
    },
  };
  window.end = module.default.render({ model: host, el: document.getElementById("place") });
  window.root = document.querySelector(".uspnb-tuning");
}
"""
PARAMETERS = [
    {"name": "cusum_k", "default": 0.5},
    {"name": "volatility_alpha", "default": 0.1},
    {"name": "entropy_kind", "default": "plain", "levels": ["plain", "rich"]},
]
STATUS = {
    "state": "running", "name": "sea-fast-mase", "tier": "fast", "metric": "mase", "trials": 40, "complete": 33,
    "pruned": 4, "failed": 3, "target": 50, "best_value": 0.8021, "default_value": 0.9143, "elapsed_s": 41.0,
    "batch": 3, "improvement": 1 - 0.8021 / 0.9143, "message": "", "refused": False, "busy": False, "undoable": False,
}  # fmt: skip


def made_up(trials: int, seed: int = 1) -> np.ndarray:
    """Rows of trials that grow better, some of them pruned, failed or hopeless."""
    draw = np.random.default_rng(seed)
    number = np.arange(trials, dtype=float)
    value = 0.8 + 0.12 * np.exp(-number / (trials / 4)) + np.abs(draw.normal(0, 0.06, trials))
    value[::23] *= 4.0
    state = np.full(trials, float(STATES.index("complete")))
    state[5::11] = STATES.index("pruned")
    state[7::17] = STATES.index("failed")
    value[state == STATES.index("failed")] = np.nan
    value[0], state[0] = STATUS["default_value"], STATES.index("complete")
    best = np.fmin.accumulate(np.where(state == STATES.index("complete"), value, np.nan))
    rows = np.stack([number, state, value, best, number // 16, np.full(trials, 0.4)], axis=1)
    assert rows.shape[1] == len(FACTS)
    knobs = np.stack([draw.uniform(0.1, 1, trials), draw.uniform(0.05, 0.3, trials), draw.integers(0, 2, trials)], 1)
    knobs[0] = (0.5, 0.1, 0)
    return np.concatenate([rows, knobs], axis=1)


def board(rows: np.ndarray) -> dict[str, Any]:
    """What stands round the history of such rows."""
    failed = [int(row[0]) for row in rows if row[1] == STATES.index("failed")]
    shares = {"cusum_k": 0.62, "volatility_alpha": 0.31, "entropy_kind": 0.07}
    return {
        "parameters": PARAMETERS,
        "importance": {
            "evaluator": "PED-ANOVA", "note": "",
            "bars": [{"name": name, "share": share, "meaning": ""} for name, share in shares.items()],
        },
        "best": {
            "told": "0.8021 against 0.9143: 12.3% better than the default.", "better": True,
            "rows": [
                {"name": "cusum_k", "default": 0.5, "best": 0.71, "change": 0.42, "unit": "sd", "meaning": "slack"},
                {"name": "volatility_alpha", "default": 0.1, "best": 0.1, "change": None},
                {"name": "entropy_kind", "default": "plain", "best": "rich", "change": "changed"},
            ],
        },
        "verdict": {
            "recommendation": "the middle of the best trials is +10.10% better on the folds than the settings in force",
            "recommended": {"cusum_k": 0.66, "volatility_alpha": 0.12, "entropy_kind": "rich"},
        },
        "failures": {
            "total": len(failed), "rows": [{"number": n, "reason": "the losses are <not finite>"} for n in failed],
        },
        "code": "import uspnb\nfrom uspnb.tuning import AsyncMetaOptimizer\n\noptimizer = AsyncMetaOptimizer(...)",
    }  # fmt: skip


class Host:
    """The stand-in for JupyterLab or Panel."""

    def __init__(self, page: Any) -> None:
        self.page, self.faults = page, []
        self.stream = TrialStream(self._frame, credits=1000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)

    def open(self, writes: str = "file", path: str = "config.toml") -> Host:
        self.page.goto("about:blank")
        self.page.evaluate(HOST, [esm(), css(), {"writes": writes, "path": path}])
        self.stream.hello("page")
        return self

    def push(self, name: str, value: Any) -> None:
        self.page.evaluate("([name, value]) => window.host.push(name, value)", [name, value])
        self.settle()

    def show(self, rows: np.ndarray, **status: Any) -> None:
        """A campaign with such trials."""
        self.push("board", board(rows))
        self.push("status", STATUS | {"trials": len(rows)} | status)
        self.stream.put(rows)
        self.settle()

    def _frame(self, frame: bytes) -> None:
        self.page.evaluate("text => window.host.frame(text)", base64.b64encode(frame).decode())

    def settle(self) -> None:
        self.page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")

    def sent(self, name: str) -> list[Any]:
        return [value for sent, value in self.page.evaluate("window.sent") if sent == name]

    def commands(self) -> list[tuple[str, Any]]:
        return [(one["name"], one["value"]) for one in self.sent("command")]
