"""A predictor shared by threads, copied, pickled, and met again in another process."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from walks import random_walk

import uspnb
from uspnb.errors import ConfigMutationError, DomainError, PartialResultError, UspnbError

WALK = random_walk(400, 7400)


@pytest.fixture
def predictor() -> uspnb.UniversalPredictor:
    made = uspnb.UniversalPredictor(clock=uspnb.replay_clock, history_limit=250)
    made.fit_history(WALK[:200])
    return made


def tick(k: int) -> uspnb.ProcessState:
    """The k-th tick of the walk."""
    return uspnb.ProcessState(float(WALK[k]), np.datetime64("2026-01-01") + np.timedelta64(k, "s"))


def test_threads_lose_no_tick_and_keep_their_order(predictor: uspnb.UniversalPredictor) -> None:
    turn, lock, errors = [199], threading.Lock(), []

    def feed() -> None:
        for _ in range(30):
            with lock:
                turn[0] += 1
                k = turn[0]
            try:
                predictor.step(tick(k))
            except DomainError as error:
                errors.append(error)

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and int(predictor.state.ticks) == 320
    seen = predictor.history()["observation"].values[-120:]
    np.testing.assert_array_equal(np.sort(seen), np.sort(WALK[200:320]))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_goes_on_alike_and_apart(predictor: uspnb.UniversalPredictor, duplicate: object) -> None:
    predictor.step(tick(200))
    twin = duplicate(predictor)  # type: ignore[operator]
    assert twin.config == predictor.config and twin.history_limit == 250
    assert twin.history().identical(predictor.history())
    one, other = (p.step(tick(201)).reference_prediction for p in (predictor, twin))
    assert one == other
    predictor.step(tick(202))
    assert twin.history().sizes["time"] == 202 and predictor.history().sizes["time"] == 203
    assert int(twin.state.ticks) == 202


def test_a_predictor_that_a_session_holds_is_not_copied(predictor: uspnb.UniversalPredictor) -> None:
    predictor.hold("a session")
    with pytest.raises(DomainError, match="a copy must wait: a session holds this predictor"):
        copy.deepcopy(predictor)
    predictor.let_go()


def test_a_process_forked_after_a_computation_is_refused_and_one_that_is_spawned_works() -> None:
    program = (
        "import multiprocessing as mp, numpy as np, uspnb, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "def job(k):\n"
        "    try:\n"
        "        return uspnb.FunctionalPredictor().init_state() is not None\n"
        "    except uspnb.UspnbError as error:\n"
        "        return f'{type(error).__name__}: {error}'\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('fork').Pool(1) as pool: print(pool.map_async(job, [0]).get(600))\n"
        "    uspnb.FunctionalPredictor().init_state()\n"
        "    with mp.get_context('fork').Pool(1) as pool: print(pool.map_async(job, [0]).get(600))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert before == "[True]" and "ForkError" in after and "spawn" in after


def every_error() -> list[type[UspnbError]]:
    """All of the package's exceptions."""
    for module in pkgutil.walk_packages(uspnb.__path__, "uspnb."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    kinds, waiting = [], [UspnbError]
    while waiting:
        kind = waiting.pop()
        kinds.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in dict.fromkeys(kinds) if kind.__module__.startswith("uspnb")]


ARGUMENTS = {
    "PartialResultError": ({"a": 1}, {"b": "why"}),
    "ConflictError": ("key", 1, 2),
    "DamagedStatesError": (("a", "b"), "why"),
    "SourceFault": ("name", "why", "item", True),
    "AmbiguousDates": ("why", {"day first": "2026-01-02"}),
}


def test_every_error_comes_back_from_a_pickle_with_what_it_says() -> None:
    kinds = every_error()
    assert {PartialResultError, ConfigMutationError} <= set(kinds) and len(kinds) > 12
    for kind in kinds:
        error = kind(*ARGUMENTS.get(kind.__name__, ("why",)))
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is kind and str(back) == str(error) and vars(back) == vars(error), kind


def fail(kind: type[UspnbError], arguments: tuple[object, ...]) -> None:
    """Raise an error of a kind."""
    raise kind(*arguments)


def test_an_error_crosses_a_pool_of_processes() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for name in ("PartialResultError", "AmbiguousDates"):
            kind = next(kind for kind in every_error() if kind.__name__ == name)
            with pytest.raises(kind, match="why"):
                pool.submit(fail, kind, ARGUMENTS[name]).result()
