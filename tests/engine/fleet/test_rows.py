"""Rows of a fleet: what is laid out on the assets, what becomes a missing tick, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from waiting import until

from uspnb.data.series import read_series
from uspnb.engine.fleet.lanes import WIDEST_LANE, lane_slices
from uspnb.engine.fleet.rows import FedRows, IteratedRows, TableRows, read_labels, read_row
from uspnb.errors import DomainError
from uspnb.sources import Source, SourceFault

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
    ("item", "reason"),
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
def test_a_row_that_does_not_fit_is_refused(item: object, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        read_row(item, PLACES)


@pytest.mark.parametrize("assets", [0, -1, True, "abc", [], ["a", "a"], 2.5, None])
def test_labels_that_name_no_assets_are_refused(assets: object) -> None:
    with pytest.raises(DomainError):
        read_labels(assets)


def test_a_table_gives_its_rows_in_order_ends_and_can_be_sought_in() -> None:
    rows = TableRows(read_series(np.arange(6.0).reshape(3, 2)))
    assert isinstance(rows, Source) and rows.length == 3
    assert [rows.take(2).values.tolist(), rows.take(2).values.tolist()] == [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]]
    assert rows.exhausted and len(rows.take(1)) == 0 and rows.waiting == 0
    rows.seek(1)
    assert rows.take(1).values.tolist() == [[2.0, 3.0]] and rows.waiting == 1
    for k in (4, -1):
        with pytest.raises(DomainError):
            rows.seek(k)


def test_a_full_feed_says_so_and_a_closed_one_too() -> None:
    rows = FedRows(1, capacity=2)
    assert isinstance(rows, Source)
    for k in range(2):
        rows.put(np.zeros(1), k)
    with pytest.raises(DomainError, match="2 rows wait"):
        rows.put(np.zeros(1), 2)
    assert rows.take(5).stamps_ns.tolist() == [0, 1]
    rows.close()
    with pytest.raises(DomainError, match="closed"):
        rows.put(np.zeros(1), 3)
    with pytest.raises(DomainError, match="cannot go to tick 0"):
        rows.seek(0)


def test_wrong_cells_are_told_once_and_only_when_their_row_was_taken() -> None:
    rows = FedRows(2)
    for k in range(2):
        rows.put(*read_row([1.0, "x"], {"a": 0, "b": 1})[:1], k, read_row([1.0, "x"], {"a": 0, "b": 1})[1])
    rows.take(1)
    assert [cell.asset for cell in rows.wrong_cells()] == [1]
    assert rows.wrong_cells() == []


def test_an_iterator_is_read_ahead_no_further_than_its_bound_and_lets_go_at_close() -> None:
    produced: list[int] = []

    def items():
        for k in range(10_000):
            produced.append(k)
            yield np.full(3, float(k))

    rows = IteratedRows(items(), PLACES)
    rows.start(lambda: None)
    until(lambda: rows.waiting == 64)
    first = rows.take(1)
    assert first.values.tolist() == [[0.0, 0.0, 0.0]]
    rows.close()
    rows._thread.join()
    assert len(produced) <= 67


def test_an_iterator_that_raises_ends_with_a_fault_after_the_rows_before_it() -> None:
    def items():
        yield [1.0, 2.0, 3.0], 5_000_000_000
        yield [1.0]
        raise RuntimeError("cable pulled")

    rows = IteratedRows(items(), PLACES)
    rows.start(lambda: None)
    rows._thread.join()
    assert rows.take(3).stamps_ns.tolist() == [5_000_000_000]
    with pytest.raises(SourceFault, match="1 values for 3 assets") as ragged:
        rows.take(3)
    assert ragged.value.can_continue
    with pytest.raises(SourceFault, match="cable pulled") as dead:
        rows.take(3)
    assert not dead.value.can_continue and rows.exhausted


@pytest.mark.parametrize("assets", [1, 3, 4, 5, 199, 200, 256, 257, 500, 600, 1000, 4097])
def test_lanes_cover_all_assets_once_with_one_width(assets: int) -> None:
    parts = lane_slices(assets)
    widths = {part.stop - part.start for part in parts}
    assert len(widths) == 1 and widths.pop() <= WIDEST_LANE
    covered = np.concatenate([np.arange(assets + 400)[part] for part in parts])
    np.testing.assert_array_equal(covered[:assets], np.arange(assets))
    assert parts[-1].start < assets
