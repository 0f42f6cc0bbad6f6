"""Programs compiled into the persistent cache before anybody predicts: what `uspnb warm` does."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, SupportsIndex

import jax

from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..model.programs import packed_state, unpacked_state
from ..runtime import compilation_cache_dir, enable_compilation_cache
from ..runtime.arguments import check_whole
from .functional import FunctionalPredictor, chunk_length, shard_assets
from .shedding import DEPTHS

HIT, COMPILED, NOT_KEPT = "was there already", "compiled", "compiled, too quickly for JAX to keep it"
FAULT = "Error (reading|writing) persistent compilation cache entry"


class Warmed(NamedTuple):
    """A program of the cache.

    Attributes:
        name: what it computes.
        seconds: to trace it and to compile or load it.
        outcome: `HIT`, `COMPILED`, or `NOT_KEPT` where a cache that `JAX_COMPILATION_CACHE_DIR` names takes none that
            compile in less than `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS`.
    """

    name: str
    seconds: float
    outcome: str


def warm_programs(config: PredictorConfig | None = None, batches: Iterable[SupportsIndex] = ()) -> Iterator[Warmed]:
    """Compile into the cache, in a process that has compiled nothing yet, what the first forecast of later ones needs.

    Args:
        config: settings; the default configuration where left out.  With load shedding every depth has its programs.
        batches: numbers of series that `step_batch` and `backtest` take at once, each with programs of its own.

    Returns:
        The programs, each as soon as it is in the cache; nothing is compiled that is not asked for.

    Raises:
        DomainError: a number of series below 1; or a cache that is off or that cannot be read and written.
        ConfigError: it asks for a kernel, a trained network or a platform that does not exist here.
    """
    sizes = dict.fromkeys(check_whole("batch", size, 1, unit="series") for size in batches)
    predictor = FunctionalPredictor(config)
    _check_cache()
    depths = [depth for depth in DEPTHS if predictor.config.load_shedding and depth != predictor.config.log_sig_depth]
    others = {depth: dataclasses.replace(predictor.config, log_sig_depth=depth) for depth in depths}
    return itertools.chain(
        _series_programs(predictor, ""),
        *(_series_programs(FunctionalPredictor(other), f", depth {depth}") for depth, other in others.items()),
        *(_batch_programs(predictor, size) for size in sizes),
    )


def _check_cache() -> None:
    if not jax.config.values["jax_enable_compilation_cache"]:
        raise DomainError("JAX_ENABLE_COMPILATION_CACHE is off, so that no program would be kept; unset it")
    folder = enable_compilation_cache()
    if folder is None or (folder.exists() and not os.access(folder, os.W_OK)):
        raise DomainError(
            f"the compilation cache {folder or compilation_cache_dir()} cannot be written; "
            "name a folder that can by USPNB_CACHE_DIR"
        )


def _series_programs(predictor: FunctionalPredictor, which: str) -> Iterator[Warmed]:
    state, program = _compiled(f"initial state{which}", predictor.init_state)
    yield program
    rows, program = _compiled(f"packed state{which}", lambda: packed_state(state))
    yield program
    yield _compiled(f"unpacked state{which}", lambda: unpacked_state(rows))[1]
    yield _compiled(f"one series{which}", lambda: predictor.warm(rows))[1]


def _batch_programs(predictor: FunctionalPredictor, size: int) -> Iterator[Warmed]:
    states, program = _compiled(f"initial states of {size:,} series", lambda: predictor.init_state(size))
    yield program
    yield _compiled(f"a tick of {size:,} series", lambda: predictor.warm(states))[1]
    whole = shard_assets(states)
    yield _compiled(f"a backtest of {size:,} series", lambda: predictor.warm(whole, chunk_length(size)))[1]


def _compiled(name: str, compute: Callable[[], Any]) -> tuple[Any, Warmed]:
    """What a program computes, and whether it was compiled for that."""
    began = time.perf_counter()
    with _cache_events() as events, warnings.catch_warnings():
        warnings.filterwarnings("error", FAULT, UserWarning)
        try:
            value = jax.block_until_ready(compute())
        except UserWarning as fault:
            raise DomainError(f"{fault}; mend the folder {enable_compilation_cache()} or remove it") from fault
    missing = events["compile_requests_use_cache"] - events["cache_hits"]
    outcome = HIT if missing == 0 else COMPILED if events["cache_misses"] == missing else NOT_KEPT
    return value, Warmed(name, time.perf_counter() - began, outcome)


@contextlib.contextmanager
def _cache_events() -> Iterator[Counter[str]]:
    """How often JAX asks the cache for a program, finds it there ("hits") and writes it ("misses")."""
    events: Counter[str] = Counter()

    def note(event: str, **kwargs: str | int) -> None:
        events[event.rpartition("/")[2]] += 1

    jax.monitoring.register_event_listener(note)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_listener(note)
