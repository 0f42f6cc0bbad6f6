"""Load shedding: the log-signature's depth follows the load, and what was learned at a depth is never thrown away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..model.kernels.registry import shedding_kernel
from ..model.state import PredictorState
from .functional import FunctionalPredictor, placed_beside

DEPTHS = (2, 3, 5)


class _Block(NamedTuple):
    """The kernel's state when its depth was lowered, on the host; `ticks` judged and `accepted` by then."""

    kernel: Any
    ticks: int
    accepted: int


class DepthSwitch:
    """Chooses among the depths 2, 3 and 5 by latency, and moves a state of one series between them.

    The log-signature is graded, so its features of a lower depth are a prefix of those of a higher one.  Going down
    keeps the leading block of the normal equations and sets the whole aside.  Going up puts the block learned meanwhile
    in the place of the leading one.  With the ticks in between counted as ticks whose higher coordinates were zero, the
    normal equations at full depth are A = gamma^n A_kept + sum f f' for the zero-padded features f: positive
    semidefinite, as gamma^n with n the accepted ticks forgets no less than was forgotten in the leading block.

    Args:
        config: settings; `log_sig_depth` is where it begins, on the largest of the three depths that does not exceed
            it.  `shed_above`, `restore_below`, `shedding_min_steps` and `log_sig_forgetting` are read too.

    Raises:
        DomainError: no kernel of the configuration has a depth.
    """

    def __init__(self, config: PredictorConfig) -> None:
        entry = shedding_kernel(config)
        if entry is None:
            raise DomainError(
                f"load shedding lowers the depth of a kernel, and none of {', '.join(config.kernels)} has one; "
                "set load_shedding = false"
            )
        self._name, self._truncated = entry.name, cast(Any, entry.kernel).truncate_depth
        self.configure(config)
        self.depth = max(depth for depth in DEPTHS if depth <= config.log_sig_depth)
        self._set_aside: dict[int, _Block] = {}
        self._changed_at: int | None = None

    @property
    def functional(self) -> FunctionalPredictor:
        """The predictor of the present depth."""
        return self._functionals[self.depth]

    def at(self, depth: int) -> FunctionalPredictor:
        """The predictor of one of the depths.

        Raises:
            DomainError: not one of them.
        """
        if depth not in self._functionals:
            raise DomainError(f"depth = {depth!r} is not one of {', '.join(map(str, DEPTHS))}")
        return self._functionals[depth]

    def warm(self) -> None:
        """Compile or load the programs of all depths, the present one first; no state is touched."""
        for depth in (self.depth, *(other for other in DEPTHS if other != self.depth)):
            self._functionals[depth].warm(self._functionals[depth].init_state())

    def choose(self, latency_ns: float, interval_ns: float, tick: int, *, jittery: bool = False) -> int:
        """The depth for the ticks to come: one step down above `shed_above`, one step up below `restore_below`.

        Args:
            latency_ns: average time that a tick takes [ns].
            interval_ns: time between ticks [ns]; where it is unknown (not above 0) the depth stays.
            tick: ticks judged so far; between two changes lie at least `shedding_min_steps`.
            jittery: whether the latency wanders beyond its limit, which is overload too.
        """
        soon = self._changed_at is not None and tick - self._changed_at < self.config.shedding_min_steps
        if soon or not interval_ns > 0:
            return self.depth
        place, load = DEPTHS.index(self.depth), latency_ns / interval_ns
        if jittery or load > self.config.shed_above:
            return DEPTHS[max(place - 1, 0)]
        if load < self.config.restore_below:
            return DEPTHS[min(place + 1, len(DEPTHS) - 1)]
        return self.depth

    def switch(self, state: PredictorState, depth: int) -> PredictorState:
        """The state at another depth, and the predictor with it; nothing is compiled.

        Args:
            state: of the present depth; left untouched.
            depth: one of the three.

        Returns:
            A state for `functional`; down and up again with no tick in between gives the same bits.

        Raises:
            DomainError: not one of the depths.
        """
        self.at(depth)
        if depth == self.depth:
            return state
        ticks, accepted = int(state.ticks), int(state.frame.count)
        own = _on_host(state.kernels[self._name])
        if depth < self.depth:
            # A new dict each time: a snapshot that is not written yet holds the one of its own tick.
            self._set_aside = self._set_aside | {self.depth: _Block(own, ticks, accepted)}
            moved = self._truncated(self.functional.config, own, depth)
        else:
            moved = self._raised(own, self._set_aside, depth, ticks, accepted)
            self._set_aside = {higher: block for higher, block in self._set_aside.items() if higher > depth}
        self.depth, self._changed_at = depth, ticks
        return state._replace(kernels=state.kernels.replace(**{self._name: placed_beside(state.ticks, moved)}))

    def whole(self, state: PredictorState) -> Callable[[], tuple[PredictorState, int]]:
        """What makes, later and in any thread, the state at the highest depth that it ever had, for a snapshot.

        Args:
            state: of the present depth.

        Returns:
            A function that gives the state, whose leaves may be NumPy's, and its depth.
        """
        blocks, depth = self._set_aside, self.depth

        def make() -> tuple[PredictorState, int]:
            full = max(blocks, default=depth)
            if full <= depth:
                return state, depth
            own = _on_host(state.kernels[self._name])
            raised = self._raised(own, blocks, full, int(state.ticks), int(state.frame.count))
            return state._replace(kernels=state.kernels.replace(**{self._name: raised})), full

        return make

    def resume(self, state: PredictorState, held: int, depth: int) -> PredictorState:
        """Take up a state of `whole` again, which has depth `held`, at the depth that it was at."""
        self.at(held)
        self.depth, self._set_aside, self._changed_at = held, {}, None
        return self.switch(state, depth)

    def moment(self) -> tuple[int, dict[int, _Block], int | None]:
        """What `go_back` needs to stand here again; nothing is copied."""
        return self.depth, self._set_aside, self._changed_at

    def go_back(self, moment: tuple[int, dict[int, _Block], int | None]) -> None:
        """Stand where `moment` was taken; the state of then goes with it."""
        self.depth, self._set_aside, self._changed_at = moment

    def configure(self, config: PredictorConfig) -> None:
        """Other traced settings for the ticks to come, at the depth of now."""
        self.config = config
        self._functionals = {
            depth: FunctionalPredictor(dataclasses.replace(config, log_sig_depth=depth)) for depth in DEPTHS
        }

    def _raised(self, own: Any, aside: dict[int, _Block], depth: int, ticks: int, accepted: int) -> Any:
        """The kernel's state at a higher depth: the learned block inside the one set aside, or inside zeros."""
        fitting = min((higher for higher in aside if higher >= depth), default=None)
        if fitting is None:
            cold: Any = self._functionals[depth].init_state().kernels[self._name]
            block = _Block(_on_host(cold), ticks, accepted)
        else:
            whole = aside[fitting]
            block = whole._replace(kernel=self._truncated(self._functionals[fitting].config, whole.kernel, depth))
        return _embedded(own, block, ticks, accepted, float(self.config.log_sig_forgetting))


def _on_host(kernel: Any) -> Any:
    """The leaves as NumPy arrays, whose slices are no programs to compile."""
    return jax.tree.map(np.asarray, kernel)


def _embedded(own: Any, block: _Block, ticks: int, accepted: int, forgetting: float) -> Any:
    """`own` at the depth of `block`: its block leads, the rest is what was kept and has been forgotten since."""
    size, whole = own.features.shape[0], block.kernel
    decay = forgetting ** (accepted - block.accepted)
    gram, moment = decay * np.asarray(whole.ridge.gram), decay * np.asarray(whole.ridge.moment)
    gram[:size, :size], moment[:size] = own.ridge.gram, own.ridge.moment
    # The coordinates of the waiting forecast are known only where no tick has come since.
    features = np.array(whole.features) if ticks == block.ticks else np.zeros(whole.features.shape)
    features[:size] = own.features
    raised = own._replace(ridge=own.ridge._replace(gram=gram, moment=moment), features=features)
    if not own.direct:
        return raised
    rows = np.array(whole.direct.rows) if ticks == block.ticks else np.zeros(whole.direct.rows.shape)
    moments = decay * np.asarray(whole.direct.moment)
    rows[:, :size], moments[:, :size] = own.direct.rows, own.direct.moment
    return raised._replace(direct=own.direct._replace(rows=rows, moment=moments))
