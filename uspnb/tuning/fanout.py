"""Candidates on many machines: a batch in shares, each evaluated by a worker of a Dask cluster.

Candidates, pruning and values are those of a run without a cluster.  What pruning asks about is known only when all
candidates of a batch have run a fold, so that folds are handed out one after another.  What a candidate carries from
fold to fold lies with the client: a worker that dies costs the fold that it was running, and survivors of pruning are
shared out anew.
"""

from __future__ import annotations

import dataclasses
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DomainError
from ..runtime.cluster import Lacks, alone, checked_client, outcomes, worker_threads
from .evaluation import GPU_LANES, Part, kernels_for_workers, lane_width
from .objective import Evaluation, Keep, WalkForwardObjective

Candidate = Mapping[str, Any]
# A WalkForwardObjective, or whatever has its `evaluate`, `n_folds`, `series_names` and `fingerprint`.
Objective = Any
MOST_HELD = 2
# The objectives that this process, a worker, was sent, the oldest first.
_held: dict[str, Objective] = {}


@dataclasses.dataclass(frozen=True)
class Share:
    """What one task does.  Dask looks into tuples and dicts for futures, and leaves other objects alone.

    Attributes:
        candidates: the settings of each.
        parts: how far each has come.
        waves: the folds to run, those of a wave side by side.
    """

    candidates: Sequence[Candidate]
    parts: Sequence[Part]
    waves: Sequence[Sequence[int]]


class FannedOut:
    """An objective whose candidates are evaluated by the workers of a Dask cluster.

    Each worker is sent the objective once and compiles a structure once, or reads it from the compilation cache where
    that is on a disk they share.  What a lost worker was doing is done elsewhere, as often as the cluster allows, and
    counts once; a candidate under which workers die again and again has failed.

    Args:
        objective: a `WalkForwardObjective`; or one that wraps a user's own function, or has an `evaluate` of its own:
            that is called with one candidate a task, without pruning, and again with the same one where a worker was
            lost.
        client: of the cluster, ``distributed.Client``.

    Raises:
        DomainError: a client that cannot be used, or an objective that cannot be sent to other processes or loaded
            there.
        UspnbError: the cluster was lost.
    """

    def __init__(self, objective: Objective, client: Any) -> None:
        self._client, self._objective = checked_client(client), objective
        self._lanes = len(objective.series_names)
        nothing = np.full((objective.n_folds, self._lanes), np.nan)
        self._start = Part(Evaluation(math.nan, nothing, "", False, 0.0), "", {}, {})
        self._walking, self._width, self._name = None, 1, uuid.uuid4().hex
        if isinstance(objective, WalkForwardObjective) and type(objective).evaluate is WalkForwardObjective.evaluate:
            self._walking, self._name = objective, f"{type(objective).__qualname__} {objective.fingerprint}"
            kernels_for_workers(objective.base_config)  # refused before Dask says that it cannot send something
        self._tried(hold, self._name, objective)
        if self._walking is not None:
            # Workers may have a GPU where the client has none.
            self._width = self._tried(lane_width, GPU_LANES)

    def _tried(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What one worker does before all others, to see whether it can be done."""
        try:
            outcome = alone(self._client, work, arguments)
        except TypeError as error:
            raise DomainError(
                f"the objective cannot be sent to other processes ({error.__cause__ or error}); make it a function of "
                "data that holds no lock, thread, open file or connection"
            ) from error
        if outcome.reason:
            raise DomainError(
                f"the workers cannot load the objective ({outcome.reason}); install there what is installed here, in "
                "the same versions"
            )
        return outcome.value

    def evaluate(self, candidates: Sequence[Candidate], *, keep: Keep | None = None) -> list[Evaluation]:
        """As `WalkForwardObjective.evaluate`, on a GPU up to rounding, as lanes are as many as a worker's share.

        Raises:
            UspnbError: the cluster was lost.
        """
        parts = [self._start] * len(candidates)
        if self._walking is None:
            shares = [Share([one], [part], []) for one, part in zip(candidates, parts, strict=True)]
            return [part.evaluation for part in self._done(evaluate_whole, shares)]
        alive, pruned = np.ones(len(parts), bool), np.zeros(len(parts), bool)
        waves, last = self._walking.waves(keep is not None), self._walking.n_folds - 1
        # Nobody asks between the waves of a run without pruning: they are one piece of work.
        for piece in [waves] if keep is None else [[wave] for wave in waves]:
            left = np.flatnonzero(alive).tolist()
            for c, part in zip(left, self._advanced(candidates, parts, left, piece), strict=True):
                parts[c], alive[c] = part, not part.reason
            fold = piece[-1][-1]
            if keep is not None and fold < last:
                values = np.array([part.evaluation.value for part in parts])
                going = np.asarray(keep(fold, np.where(alive, values, np.nan))).astype(bool)
                pruned |= alive & ~going
                alive &= going
        return [part.evaluation._replace(pruned=bool(gone)) for part, gone in zip(parts, pruned, strict=True)]

    def _advanced(
        self,
        candidates: Sequence[Candidate],
        parts: Sequence[Part],
        which: Sequence[int],
        waves: Sequence[Sequence[int]],
    ) -> list[Part]:
        lanes = self._lanes * len(waves[0])
        size = share_size(len(which), lanes, self._width, worker_threads(self._client))
        groups = [which[k : k + size] for k in range(0, len(which), size)]
        return self._done(advance, [Share([candidates[c] for c in g], [parts[c] for c in g], waves) for g in groups])

    def _done(self, work: Callable[..., list[Part] | Lacks], shares: Sequence[Share]) -> list[Part]:
        """The shares done; of one that fails each candidate is tried alone, so that no other fails with it."""
        began = time.perf_counter()
        parts: list[Part] = []
        calls = [(self._name, None, share) for share in shares]

        def whole(call: int) -> tuple[Any, ...]:
            return self._name, self._objective, shares[call]

        for share, outcome in zip(shares, outcomes(self._client, work, calls, whole=whole), strict=True):
            if not outcome.reason:
                parts += outcome.value
                continue
            for one in _singles(share):
                again = outcome
                if outcome.killed or len(share.candidates) > 1:
                    again = alone(self._client, work, (self._name, self._objective, one))
                parts += again.value or [_failed(one.parts[0], again.reason, time.perf_counter() - began)]
        return parts


def _singles(share: Share) -> list[Share]:
    return [Share([one], [part], share.waves) for one, part in zip(share.candidates, share.parts, strict=True)]


def _failed(part: Part, reason: str, seconds: float) -> Part:
    evaluation = part.evaluation._replace(value=math.nan, reason=reason, seconds=part.evaluation.seconds + seconds)
    return part._replace(evaluation=evaluation, reason=reason)


def hold(name: str, objective: Objective) -> None:
    """On a worker: keep an objective for later calls, for as long as few others come."""
    for old in list(_held)[: max(0, len(_held) + 1 - MOST_HELD)]:
        _held.pop(old, None)
    _held[name] = objective


def evaluate_whole(name: str, objective: Objective | None, share: Share) -> list[Part] | Lacks:
    """On a worker: candidates from start to end."""
    objective = _held_or_sent(name, objective)
    if objective is None:
        return Lacks()
    evaluations = objective.evaluate(share.candidates)
    return [Part(evaluation, evaluation.reason, {}, {}) for evaluation in evaluations]


def advance(name: str, objective: Objective | None, share: Share) -> list[Part] | Lacks:
    """On a worker: run candidates through some folds, from the states in their parts."""
    objective = _held_or_sent(name, objective)
    if objective is None:
        return Lacks()
    began = time.perf_counter()
    walk = objective.walk(share.candidates)
    walk.resume(share.parts)
    for wave in share.waves:
        walk.advance(wave)
    spent = (time.perf_counter() - began) / len(share.candidates)
    parts = []
    for part, before in zip(walk.parts(spent), share.parts, strict=True):
        seconds = before.evaluation.seconds + spent
        parts.append(part._replace(evaluation=part.evaluation._replace(seconds=seconds)))
    return parts


def _held_or_sent(name: str, sent: Objective | None) -> Objective | None:
    if sent is not None:
        hold(name, sent)
        return sent
    return _held.get(name)


def share_size(count: int, lanes: int, width: int, threads: int) -> int:
    """Candidates of one task: the fewest with which the busiest worker makes no more compiled calls than it must.

    Args:
        count: candidates.
        lanes: lanes of each, one for each series and fold that run side by side.
        width: lanes of one compiled call; a call that is not full takes as long.
        threads: tasks that run at once.
    """

    def calls(size: int) -> int:
        return math.ceil(math.ceil(count / size) / threads) * math.ceil(size * lanes / width)

    return min(range(1, max(count, 1) + 1), key=lambda size: (calls(size), size))
