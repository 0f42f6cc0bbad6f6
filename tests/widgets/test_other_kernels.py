"""What views are sent of other kernels than the default four: a user's fifth, and one alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from own_kernel import SMALL, registered
from stand_ins import Posts

import uspnb
from uspnb.engine import views
from uspnb.engine.fleet.tables import SPARK_COLUMNS
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.widgets.fleet_link import HEADER_LENGTH, FleetLink
from uspnb.widgets.live_link import HEADER, LiveLink

CHOICES = [("hilbert",), (*KERNEL_NAMES, "mine")]
TICKS = 40


@pytest.fixture(autouse=True)
def own_kernel() -> Iterator[None]:
    with registered():
        yield


def greeted(link: LiveLink | FleetLink, posts: Posts) -> np.ndarray:
    """The first frame that a front end is sent."""
    link.start()
    link.receive("hello", {"client": "page", "id": 1})
    return np.frombuffer(posts.until("frame"), "<f8")


@pytest.mark.parametrize("kernels", CHOICES)
def test_a_live_view_draws_the_kernels_of_its_session(kernels: tuple[str, ...]) -> None:
    y, posts = np.cumsum(np.random.default_rng(5).normal(size=TICKS)), Posts()
    with uspnb.Session(y, uspnb.PredictorConfig(kernels=kernels, **SMALL)) as session:
        session.step(TICKS)
        session.wait(timeout=600.0)
        link = LiveLink(session, posts, rows=1_000)
        frame, history, meta = greeted(link, posts), session.history(), link.meta
        link.close()
    head = dict(zip(HEADER, frame, strict=False))
    assert head["columns"] == len(meta["columns"]) == len(set(meta["columns"]))
    rows = frame[len(HEADER) :].reshape(TICKS, -1)
    columns = dict(zip(meta["columns"], rows.T, strict=True))
    assert [about["name"] for about in meta["kernels"]] == list(kernels)
    if "mine" in kernels:
        assert meta["kernels"][-1] == {"name": "mine", "label": "my mean", "colour": "#123456"}
    for name in kernels:
        for field in ("weight", "target_weight"):
            np.testing.assert_array_equal(columns[f"{field}_{name}"], history[field].sel(kernel=name))
    sentences = [views.reason_text(dict(zip(meta["columns"], row, strict=True)), kernels) for row in rows]
    if len(kernels) == 1:
        assert (columns["reason"] == views.ALONE).any() and not (columns["reason"] == views.COLD).any()
        assert sentences[-1] == "Hilbert is the only kernel; the forecast is its own."
    else:
        assert not (columns["reason"] == views.ALONE).any() and any("my mean" in text.lower() for text in sentences)
    assert set(map(str, columns["reason"].astype(int))) <= set(meta["phrases"])


@pytest.mark.parametrize("kernels", CHOICES)
def test_a_table_draws_the_kernels_of_its_fleet(kernels: tuple[str, ...]) -> None:
    y, posts = np.cumsum(np.random.default_rng(6).normal(size=(TICKS, 3)), axis=0), Posts()
    with uspnb.Fleet(y, uspnb.PredictorConfig(kernels=kernels, **SMALL)) as fleet:
        fleet.step(TICKS)
        fleet.wait(timeout=600.0)
        link = FleetLink(fleet, posts)
        frame, table, meta = greeted(link, posts), fleet.table(), link.meta
        one = fleet.open(fleet.assets[0])
        _, rows = one.view_rows(0, TICKS)
        link.close()
    edge = HEADER_LENGTH + 3 * len(meta["summary_columns"])
    assert frame[8] == len(meta["summary_columns"])
    assert len(frame) == edge + frame[3] * 3 * len(SPARK_COLUMNS)
    present = dict(zip(meta["summary_columns"], frame[HEADER_LENGTH:edge].reshape(3, -1).T, strict=True))
    assert [about["name"] for about in meta["kernels"]] == list(kernels)
    for name in kernels:
        np.testing.assert_array_equal(present[f"weight_{name}"], table[f"weight_{name}"])
    for name in ("value", "forecast", "alarms", "skill", "faults"):
        np.testing.assert_array_equal(present[name], table[name])
    assert rows.shape[1] == len(uspnb.model.fields.view_columns(fleet.config))
