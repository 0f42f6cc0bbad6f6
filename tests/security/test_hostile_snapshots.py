"""Snapshots whose checksum is right and whose numbers no state can have: refused, or harmless after sixteen ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from uspnb import FunctionalPredictor, PredictorConfig
from uspnb.data.processes import autoregression
from uspnb.errors import IntegrityError
from uspnb.model.packing import unpack
from uspnb.model.programs import result_layout
from uspnb.model.state import PredictorState
from uspnb.persistence.snapshots import SnapshotFolder, encode, inspect_file, read_snapshot, snapshot_of, state_from
from uspnb.persistence.snapshots.payload import Payload
from uspnb.persistence.snapshots.ranges import check_numbers
from uspnb.predictor.functional import observations, scan_chunks
from uspnb.sources import FeedSource

SECOND = 10**9
LEARNED, AFTER, CLEAN_AFTER = 384, 64, 16
CONFIG = PredictorConfig()
PREDICTOR = FunctionalPredictor(CONFIG)
VALUES = autoregression(LEARNED + AFTER, 4100).values
FORECAST = ("prediction", "scale", "lower", "upper", "weight", "chart_statistic", "cusum_up", "cusum_down")
REALS = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "huge": 1e300, "-huge": -1e300, "large": 1e30, "-large": -1e30}
WHOLES = {"most": 2**63 - 1, "least": -(2**63), "negative": -1, "large": 2**40}
TRIES: dict[str, dict[str, Any]] = {"i": WHOLES, "f": REALS | {"negative": -1.0}, "u": {"most": 2**32 - 1}}


@pytest.fixture(scope="module")
def payload() -> Payload:
    """Of a state that has learned something."""
    stamps = np.arange(LEARNED) * SECOND
    state, _ = scan_chunks(PREDICTOR, PREDICTOR.init_state(), observations(VALUES[:LEARNED], stamps))
    return snapshot_of(state, CONFIG)


def leaves_of(payload: Payload) -> Iterator[tuple[dict[str, Any], str, str]]:
    """The block, the kernel and the name of every leaf."""
    for name in payload["global"]:
        yield payload["global"], "", name
    for kernel, block in payload["kernels"].items():
        for name in block:
            yield block, kernel, name


def hostile_values(leaf: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Whole leaves of a value, and leaves of which one entry has it."""
    tries: dict[str, Any] = {"i": WHOLES, "f": REALS | {"negative": -1.0}, "u": {"most": 2**32 - 1}}.get(
        leaf.dtype.kind, {}
    )
    for name, value in tries.items():
        yield f"all {name}", np.full_like(leaf, value)
        if leaf.size > 1:
            one = leaf.copy()
            one.flat[leaf.size // 2] = value
            yield f"one {name}", one
    if leaf.dtype.kind == "b":
        yield "other", np.asarray(~leaf)


def is_clean(state: PredictorState) -> bool:
    """Whether what it forecasts from the sixteenth tick on is finite, and its weights lie on the simplex."""
    stamps = np.arange(LEARNED, LEARNED + AFTER) * SECOND
    _, rows = scan_chunks(PREDICTOR, state, observations(VALUES[LEARNED:], stamps))
    telemetry = unpack(rows, result_layout(CONFIG)).telemetry
    late = {name: np.asarray(getattr(telemetry, name))[CLEAN_AFTER:] for name in FORECAST}
    finite = all(np.isfinite(values).all() for values in late.values())
    return finite and bool((late["weight"] >= 0).all() and np.allclose(late["weight"].sum(axis=-1), 1.0))


def test_every_leaf_is_refused_or_harmless(payload: Payload) -> None:
    """Refusals come from the numbers alone: each payload would be encoded with a right checksum."""
    like = PREDICTOR.init_state()
    accepted, refused, bad = 0, 0, []
    for block, kernel, name in leaves_of(payload):
        whole = block[name]
        for what, leaf in hostile_values(whole):
            block[name] = leaf
            try:
                check_numbers(payload)
            except IntegrityError as problem:
                assert name in str(problem) or "weights" in str(problem)
                refused += 1
            else:
                accepted += 1
                if not is_clean(state_from(payload, like)):
                    bad.append(f"{kernel}{name}: {what}")
        block[name] = whole
    assert not bad and refused > 500 and accepted > 100, f"{refused} refused, {accepted} accepted, harmful: {bad}"


def test_weights_off_the_simplex_are_refused(payload: Payload, tmp_path: Path) -> None:
    for weight in ([0.5, 0.5, 0.5, 0.5], [1.5, -0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]):
        path = tmp_path / "s.msgpack"
        path.write_bytes(encode(payload | {"global": payload["global"] | {".weight": np.array(weight)}}))
        with pytest.raises(IntegrityError, match=r"\.weight holds"):
            read_snapshot(path)
        assert not inspect_file(path).valid


def test_a_folder_falls_back_to_the_snapshot_before(payload: Payload, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path)
    good = folder.save(payload | {"timestamp": 10**18}).path
    hostile = payload | {"global": payload["global"] | {".frame.level": np.array(np.nan)}}
    (tmp_path / f"snapshot_000000000999_{10**18 + 1}.msgpack").write_bytes(encode(hostile))
    with pytest.warns(UserWarning, match=r"1 snapshots cannot be used .*\.frame\.level holds nan"):
        newest = folder.newest_valid()
    assert newest is not None and newest.path == good


def test_a_state_that_has_gone_bad_takes_no_good_snapshots_place(payload: Payload, tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, retention=1)
    good = folder.save(payload | {"timestamp": 10**18}).path
    with pytest.raises(IntegrityError, match="must be finite"):
        folder.save(payload | {"global": payload["global"] | {".frame.level": np.array(np.nan)}})
    assert folder.paths() == [good]


STREAMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda x: x,
    "jump": lambda x: np.where(np.arange(len(x)) < 200, x, x + 1e9),
    "far jump": lambda x: np.where(np.arange(len(x)) < 200, 0.0, 1e300),
    "small": lambda x: x * 1e-300,
    "large": lambda x: x * 1e300,
    "constant": lambda x: np.full_like(x, 3.0),
    "gap": lambda x: np.where(abs(np.arange(len(x)) - 200) < 30, np.nan, x),
    "spikes": lambda x: np.where(np.arange(len(x)) % 50 == 0, 1e200, x),
    "heavy": lambda x: np.sinh(5 * x),
    "growing": lambda x: 2.0 ** np.arange(len(x)),
    "nothing": lambda x: np.full_like(x, np.nan),
}


@pytest.mark.parametrize("name", STREAMS)
def test_no_state_of_ours_is_refused(name: str) -> None:
    values = STREAMS[name](VALUES)
    state = PREDICTOR.init_state()
    check_numbers(snapshot_of(state, CONFIG))
    for first in range(0, len(values), 128):
        part = slice(first, first + 128)
        state, _ = scan_chunks(PREDICTOR, state, observations(values[part], np.arange(len(values))[part] * SECOND))
        check_numbers(snapshot_of(state, CONFIG))


def test_states_of_a_fleet_are_looked_at_one_by_one(payload: Payload) -> None:
    stacked = jax.tree.map(
        lambda leaf: np.stack([leaf] * 3), {"global": payload["global"], "kernels": payload["kernels"]}
    )
    check_numbers(stacked)
    stacked["kernels"]["A"][".slow.gram"][1, 2, 2] = -5.0
    with pytest.raises(IntegrityError, match=r"kernel A at \.slow\.gram"):
        check_numbers(stacked)


def test_a_service_that_forecasts_nothing_finite_is_not_ready(
    make_config: Any, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the state went bad; here it was read by a service that does not look at its numbers."""
    feed = FeedSource(name="a", live=False)
    config = make_config()
    first = begin(config, {"a": feed}).ready()
    for k in range(20):
        feed.put(float(VALUES[k]), k * SECOND)
    first.until(lambda: first.service.series[0].ticks == 20)
    assert first.page("/readyz") == (200, "ready\n") and first.metric('predictor_condition{part="forecasts"}') == 0
    assert first.end() == 0
    path = SnapshotFolder(Path(config.snapshot_path) / "a").paths()[-1]
    good = read_snapshot(path)
    path.write_bytes(encode(good | {"global": good["global"] | {".frame.level": np.array(np.nan)}}))
    monkeypatch.setattr("uspnb.persistence.snapshots.files.check_numbers", lambda payload: None)

    feed = FeedSource(name="a", live=False)
    again = begin(config, {"a": feed}).ready()
    for k in range(20, 26):
        feed.put(float(VALUES[k]), k * SECOND)
    again.until(lambda: again.service.series[0].ticks == 26)
    again.until(lambda: again.page("/readyz")[0] == 503)
    assert "forecasts of a are not finite" in again.page("/readyz")[1] and again.page("/healthz")[0] == 200
    assert again.metric('predictor_condition{part="forecasts"}') == 1
    again.end()
