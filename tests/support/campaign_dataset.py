"""The results of a campaign without one: 24 trials of which 5 were pruned and 3 failed, with the contract's labels."""

from __future__ import annotations

import numpy as np
import xarray as xr

NAMES = ("cusum_k", "volatility_alpha", "log_sig_depth", "kernel_ridge_lambda", "besov_cone_c", "seed")
LOW, HIGH = np.array([0.1, 0.05, 2, 1e-8, 1.0, 0]), np.array([1.0, 0.3, 5, 1e-3, 3.0, 9])


def campaign(trials: int = 24, *, series: tuple[str, ...] = ("sea",), seed: int = 3, tame: bool = False) -> xr.Dataset:
    """Values that fall towards cusum_k = 0.4; `seed` never varies; `tame` campaigns have no pruned or failed trial."""
    rng = np.random.default_rng(seed)
    drawn = LOW + (HIGH - LOW) * rng.random((trials, len(NAMES)))
    drawn[:, 3], drawn[:, 2], drawn[:, 5] = 10 ** rng.uniform(-8, -3, trials), rng.integers(2, 6, trials), 7
    drawn[0] = (0.5, 0.1, 3, 1e-6, 1.5, 7)
    value = 0.8 + 0.5 * (drawn[:, 0] - 0.4) ** 2 + 0.01 * np.abs(np.log10(drawn[:, 3]) + 5) + 0.002 * rng.random(trials)
    state, reason = np.full(trials, "complete", dtype=object), np.full(trials, "", dtype=object)
    if not tame:
        state[3::5][:5], reason[3::5][:5] = "pruned", "worse than the median after fold 2"
        state[4::8][:3], reason[4::8][:3] = "failed", "the losses are <not finite> & so no number"
        value[state == "failed"] = np.nan
    best_value = np.fmin.accumulate(np.where(state == "complete", value, np.nan))
    folds = value[:, None, None] + 0.01 * rng.standard_normal((trials, 5, len(series)))
    folds[state == "pruned", 2:] = np.nan
    importance = np.array([0.62, 0.11, 0.06, 0.2, 0.01, np.nan])
    best = drawn[int(np.nanargmin(np.where(state == "complete", value, np.nan)))]
    per_trial = {"value": value, "best_value": best_value, "state": state, "reason": reason}
    per_trial |= {"batch": np.arange(trials) // 16, "seconds": np.full(trials, 0.4)}
    per_trial |= {f"param_{name}": drawn[:, i] for i, name in enumerate(NAMES)}
    each = {"importance": importance, "default": drawn[0], "best": best, "low": LOW, "high": HIGH}
    columns = {name: ("trial", v) for name, v in per_trial.items()} | {k: ("parameter", v) for k, v in each.items()}
    ds = xr.Dataset(columns | {"fold_value": (("trial", "fold", "series"), folds)})
    ds["param_kernel_ridge_lambda"].attrs["log"] = True
    ds = ds.assign_coords(trial=np.arange(trials), fold=np.arange(5), series=list(series), parameter=list(NAMES))
    about = {"study_name": "demo", "tier": "fast", "metric": "mase", "direction": "minimize", "importance_note": ""}
    about |= {"importance_evaluator": "PED-ANOVA", "default_trial": 0, "n_folds": 5, "fingerprint": "ab" * 32}
    return ds.assign_attrs(about | {"best_trial": int(np.nanargmin(np.where(state == "complete", value, np.nan)))})
