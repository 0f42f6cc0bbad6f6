"""Campaigns that are killed, stopped, torn and shared, in processes of their own.

    python tests/support/killed_campaigns.py FOLDER --kills 5

The program imports once and forks its campaigns; its last line of output is JSON.  `tests/tuning/test_kill.py`,
`test_concurrency.py` and `benchmarks/campaigns.py` run it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from waiting import until

from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.tuning.objective import Evaluation, Keep
from uspnb.tuning.study import BayesianMetaOptimizer

TRIALS = 30
FOLD_S = 0.004
FAILED = 1


class FoldObjective:
    """Three folds that cost a little time.  Values hang on the size of the group, so that a batch that is resumed with
    other members than it had is found out; some candidates fail."""

    metric, fingerprint, n_folds, series_names = "bowl", "three folds", 3, ("s",)

    def __init__(self, fold_s: float = FOLD_S, before: Callable[[], object] = int) -> None:
        self.fold_s, self.before = fold_s, before

    def evaluate(self, candidates: Sequence[Mapping[str, Any]], *, keep: Keep | None = None) -> list[Evaluation]:
        """Candidates side by side, fold after fold."""
        self.before()
        count = len(candidates)
        going, table = np.ones(count, bool), np.full((count, self.n_folds), np.nan)
        for fold in range(self.n_folds):
            time.sleep(self.fold_s)  # what a fold costs, so that a signal comes while it is evaluated
            for place in np.flatnonzero(going).tolist():
                table[place, fold] = bowl(candidates[place]) + 0.01 * fold + 1e-6 * count
            running = np.array([table[place, : fold + 1].mean() if going[place] else np.nan for place in range(count)])
            if keep is not None and fold < self.n_folds - 1:
                going &= keep(fold, running)
        return [self._of(params, row) for params, row in zip(candidates, table, strict=True)]

    def _of(self, params: Mapping[str, Any], row: np.ndarray) -> Evaluation:
        failed = 0.62 < params["cusum_k"] < 0.66
        pruned = bool(np.isnan(row).any())
        value = math.nan if failed else float(np.nanmean(row))
        return Evaluation(value, row[:, None], "it lies in the ditch" if failed else "", pruned, 0.001)


def bowl(params: Mapping[str, Any]) -> float:
    """Lowest at cusum_k = 0.4, log_sig_depth = 4."""
    return (
        (params["cusum_k"] - 0.4) ** 2
        + 0.05 * (params["log_sig_depth"] - 4) ** 2
        + 0.1 * (params["besov_cone_c"] - 2.0) ** 2
        + 0.3 * abs(params["sinkhorn_alpha"] - 0.5)
    )


def campaign(
    folder: Path,
    seed: int = 7,
    storage: str | None = None,
    fold_s: float = FOLD_S,
    before: Callable[[], object] = int,
    **settings: Any,
) -> BayesianMetaOptimizer:
    """A campaign of 30 trials in batches of 5; `before` is called before a batch is evaluated."""
    meta = MetaOptimizationConfig(
        **{"n_trials": TRIALS, "batch_size": 5, "n_startup_trials": 6, "seed": seed, "checkpoint_path": str(folder)}
        | settings
    )
    return BayesianMetaOptimizer(
        objective=FoldObjective(fold_s, before),
        meta_config=meta,
        study_name="campaign",
        storage=storage,
        progress=False,
    )


def told(optimizer: BayesianMetaOptimizer) -> dict[str, Any]:
    """The whole sequence of a campaign, and its best."""
    return {
        "trials": [
            [
                trial.number,
                trial.state.name,
                trial.params,
                trial.value,
                trial.user_attrs.get("batch"),
                sorted(trial.intermediate_values.items()),
                trial.user_attrs.get("folds"),
                trial.user_attrs.get("reason", ""),
                trial.user_attrs.get("params"),
            ]
            for trial in optimizer.trials
        ],
        "best": [optimizer.best_params, optimizer.best_value],
    }


def forked(work: Callable[[], object]) -> int:
    """Do something in a process of its own; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # JAX: nothing has been computed, so that no thread of it runs
        pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def code_of(pid: int) -> int:
    """Wait for a process; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def hit(pid: int, number: int, journal: Path, size: float) -> int:
    """Send a signal once the journal has grown to a size [bytes], or the campaign is through; its exit code.

    A moment of the campaign, not of the clock: a slow machine is hit as often as a fast one.
    """
    ended = [0, 0]

    def at_size() -> bool:
        ended[:] = os.waitpid(pid, os.WNOHANG)
        return bool(ended[0]) or (journal.exists() and journal.stat().st_size >= size)

    until(at_size)
    if ended[0]:
        return os.waitstatus_to_exitcode(ended[1])
    os.kill(pid, number)
    return code_of(pid)


def disturbed(
    folder: Path, kills: int, number: int, largest: int, rng: random.Random, torn: bool = False, seed: int = 7
) -> dict[str, Any]:
    """Campaigns that get a signal at a random moment, go on, and get another, until each is through.

    Args:
        folder: of them.
        kills: signals that must have hit, in all.
        number: the signal.
        largest: a moment is drawn as a growth of the journal between 0 and this [bytes].
        rng: draws moments.
        torn: whether up to 200 bytes of the journal are lost as well.
        seed: of the campaigns.

    Returns:
        What each came to, and the exit codes of the processes that were hit.
    """
    codes: list[int] = []
    campaigns = []
    while len(codes) < kills:
        place = folder / str(len(campaigns))
        while True:
            journal = place / "campaign.journal"
            present = journal.stat().st_size if journal.exists() else 0
            pid = forked(campaign(place, seed).optimize)
            code = hit(pid, number, journal, present + rng.uniform(0, largest))
            if code == 0:
                break
            if code == FAILED:
                raise RuntimeError("a campaign failed instead of being hit; its error is on standard error")
            codes.append(code)
            if torn and journal.exists():
                os.truncate(journal, max(journal.stat().st_size - rng.randrange(1, 200), 0))
        campaigns.append(told(campaign(place, seed)))
    return {"campaigns": campaigns, "codes": codes}


def shared(folder: Path, processes: int, kill: bool, storage: str | None = None) -> dict[str, Any]:
    """Several processes on one study, one of which may be killed while it evaluates; what it came to."""
    met = folder.with_name(f"{folder.name} met")
    met.mkdir()

    def meet(number: int) -> None:
        (met / str(number)).touch()
        until(lambda: len(list(met.iterdir())) > 1)  # nobody takes all batches before another has one
        if kill and number == 0:
            signal.pause()

    pids = [
        forked(lambda k=k: campaign(folder, storage=storage, before=lambda: meet(k)).optimize())
        for k in range(processes)
    ]
    if kill:
        until(lambda: any(trial.state.is_finished() for trial in campaign(folder, storage=storage).trials))
        os.kill(pids[0], signal.SIGKILL)
    codes = [code_of(pid) for pid in pids]
    optimizer = campaign(folder, storage=storage)
    left = sum(not trial.state.is_finished() for trial in optimizer.trials)
    optimizer.optimize()
    owners = {json.loads(trial.user_attrs["owner"])["pid"] for trial in optimizer.trials}
    return told(optimizer) | {"codes": codes, "left": left, "owners": len(owners)}


def main() -> None:
    """One or more campaigns; JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=0, help="kills; as many signals of other kinds as half of that")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--campaign-seed", type=int, default=7)
    parser.add_argument("--shared", type=int, default=0, help="processes on one study")
    options = parser.parse_args()
    folder, rng, seed = options.folder, random.Random(options.seed), options.campaign_seed
    whole = campaign(folder / "whole", seed)
    whole.optimize()
    largest = (folder / "whole" / "campaign.journal").stat().st_size
    made: dict[str, Any] = {"whole": told(whole)}
    if options.kills:
        half = max(options.kills // 2, 1)
        made["killed"] = disturbed(folder / "killed", options.kills, signal.SIGKILL, largest, rng, seed=seed)
        made["torn"] = disturbed(folder / "torn", half, signal.SIGKILL, largest, rng, True, seed)
        made["terminated"] = disturbed(folder / "terminated", half, signal.SIGTERM, largest, rng, seed=seed)
        made["interrupted"] = disturbed(folder / "interrupted", half, signal.SIGINT, largest, rng, seed=seed)
    if options.shared:
        made["shared"] = shared(folder / "shared", options.shared, False)
        made["bereft"] = shared(folder / "bereft", options.shared, True)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
