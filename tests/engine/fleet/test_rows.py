"""Rows of a fleet: what is laid out on the assets, what becomes a missing tick, what is refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from uspnb.data.series import read_series
from uspnb.engine.fleet.lanes import WIDEST_LANE, lane_slices
from uspnb.engine.fleet.rows import FedRows, IteratedRows, Row, RowFault, TableRows, read_labels, read_row
from uspnb.errors import DomainError

PLACES = {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize("item", [[1.0, 2.0, 3.0], np.array([1, 2, 3]), {"c": 3.0, "a": 1.0, "b": 2.0}, (1.0, 2.0, 3)])
def test_a_row_is_laid_out_on_the_assets(item: object) -> None:
    values, wrong = read_row(item, PLACES)
    np.testing.assert_array_equal(values, [1.0, 2.0, 3.0])
    assert wrong == ()


def test_an_asset_left_out_is_a_missing_tick() -> None:
    values, wrong = read_row({"b": 2.0}, PLACES)
    np.testing.assert_array_equal(values, [np.nan, 2.0, np.nan])
    assert wrong == ()


@pytest.mark.parametrize("cell", [None, "3.0", True, 1 + 2j, [1.0], np.zeros(2), {}, 10**400])
def test_a_cell_that_is_no_number_is_missing_and_told_and_spares_the_others(cell: object) -> None:
    values, wrong = read_row([1.0, cell, 3.0], PLACES)
    np.testing.assert_array_equal(values, [1.0, np.nan, 3.0])
    assert [one.asset for one in wrong] == [1] and wrong[0].reason


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ([1.0, 2.0], "2 values for 3 assets"),
        (np.zeros(4), "shape \\(4,\\)"),
        (np.zeros((1, 3)), "shape \\(1, 3\\)"),
        ({"a": 1.0, "d": 2.0}, "no asset 'd'"),
        ("abc", "is no row"),
        (3.5, "is no row"),
        (None, "is no row"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(item: object, said: str) -> None:
    with pytest.raises(DomainError, match=said):
        read_row(item, PLACES)


@pytest.mark.parametrize("assets", [0, -1, True, "abc", [], ["a", "a"], 2.5, None])
def test_labels_that_name_no_assets_are_refused(assets: object) -> None:
    with pytest.raises(DomainError):
        read_labels(assets)


def test_a_table_gives_its_rows_in_order_and_ends() -> None:
    rows = TableRows(read_series(np.arange(6.0).reshape(3, 2)))
    taken = [rows.take() for _ in range(3)]
    assert [row.values.tolist() for row in taken if isinstance(row, Row)] == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert rows.exhausted and rows.take() is None and rows.waiting == 0


def test_a_full_feed_says_so_and_a_closed_one_too() -> None:
    rows = FedRows(capacity=2)
    for k in range(2):
        rows.put(Row(np.zeros(1), k))
    with pytest.raises(DomainError, match="2 rows wait"):
        rows.put(Row(np.zeros(1), 2))
    rows.close()
    with pytest.raises(DomainError, match="closed"):
        rows.put(Row(np.zeros(1), 3))


def test_an_iterator_is_read_ahead_no_further_than_its_bound_and_lets_go_at_close() -> None:
    produced: list[int] = []

    def items():
        for k in range(10_000):
            produced.append(k)
            yield np.full(3, float(k))

    rows, woken = IteratedRows(items(), PLACES), threading.Event()
    rows.start(woken.set)
    threading.Event().wait(0.3)
    assert rows.waiting == 64 and len(produced) <= 66
    first = rows.take()
    assert isinstance(first, Row) and first.values.tolist() == [0.0, 0.0, 0.0]
    rows.close()
    rows._thread.join(timeout=5.0)
    assert not rows._thread.is_alive()


def test_an_iterator_that_raises_ends_with_a_fault_after_the_rows_before_it() -> None:
    def items():
        yield [1.0, 2.0, 3.0], 5_000_000_000
        yield [1.0]
        raise RuntimeError("cable pulled")

    rows = IteratedRows(items(), PLACES)
    rows.start(lambda: None)
    rows._thread.join(timeout=5.0)
    taken = [rows.take() for _ in range(3)]
    assert isinstance(taken[0], Row) and taken[0].stamp_ns == 5_000_000_000
    assert isinstance(taken[1], RowFault) and taken[1].can_continue and "1 values for 3 assets" in taken[1].reason
    assert isinstance(taken[2], RowFault) and not taken[2].can_continue and "cable pulled" in taken[2].reason
    assert rows.exhausted


@pytest.mark.parametrize("assets", [1, 3, 4, 5, 199, 200, 256, 257, 500, 600, 1000, 4097])
def test_lanes_cover_all_assets_once_with_one_width(assets: int) -> None:
    parts = lane_slices(assets)
    widths = {part.stop - part.start for part in parts}
    assert len(widths) == 1 and widths.pop() <= WIDEST_LANE
    covered = np.concatenate([np.arange(assets + 400)[part] for part in parts])
    np.testing.assert_array_equal(covered[:assets], np.arange(assets))
    assert parts[-1].start < assets
