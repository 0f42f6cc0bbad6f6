"""The tuning monitor's module in a bare page: made-up trials and what stands round them."""

from __future__ import annotations

from typing import Any

import module_host as hosting
import numpy as np

from uspnb.widgets.link import Frames
from uspnb.widgets.tuning_trials import FACTS, STATES, TrialFrames

WIDE, NARROW = hosting.WIDE, hosting.NARROW
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
            "sentence": "0.8021 against 0.9143: 12.3% better than the default.", "better": True,
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


class Host(hosting.ModuleHost):
    """The tuning monitor's module."""

    name, sheet, root = "tuning", "tuning_view", ".uspnb-tuning"

    def __init__(self, page: Any) -> None:
        super().__init__(page)
        self.trials = TrialFrames()
        self.frames = Frames(self.trials.next_frame, self.frame, credits=1000)

    def open(self, writes: str = "file", path: str = "config.toml") -> Host:
        self.load({"meta": {"writes": writes, "path": path}})
        self.frames.hello("page")
        return self

    def show(self, rows: np.ndarray, **status: Any) -> None:
        """A campaign with such trials."""
        self.push("board", board(rows))
        self.push("status", STATUS | {"trials": len(rows)} | status)
        self.put(rows)
        self.settle()

    def put(self, rows: np.ndarray) -> None:
        """These are the trials now."""
        self.trials.put(rows)
        self.frames.pump()
