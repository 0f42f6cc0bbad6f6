"""Walk-forward folds against scikit-learn's picture of them, by properties."""

from __future__ import annotations

import inspect
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.errors import DomainError
from uspnb.tuning.folds import SHORTEST_TEST, SHORTEST_TRAIN, walk_forward_split


@given(
    n=st.integers(300, 20_000),
    n_folds=st.integers(1, 12),
    ratio=st.floats(0.3, 0.9),
    memory=st.one_of(st.none(), st.integers(SHORTEST_TRAIN, 3000)),
)
def test_tests_follow_one_another_and_training_lies_before(
    n: int, n_folds: int, ratio: float, memory: int | None
) -> None:
    try:
        folds = walk_forward_split(n, n_folds, ratio, memory)
    except DomainError as error:
        assert "too short" in str(error)
        return
    assert len(folds) == n_folds
    assert folds[-1].test.stop == n
    for fold, following in itertools.pairwise(folds):
        assert fold.test.stop == following.test.start
    lengths = {fold.test.stop - fold.test.start for fold in folds}
    assert len(lengths) == 1
    assert lengths.pop() >= SHORTEST_TEST
    for fold in folds:
        assert fold.train.stop == fold.test.start
        trained = fold.train.stop - fold.train.start
        assert trained == (fold.test.start if memory is None else min(memory, fold.test.start))


def test_the_first_fold_is_trained_on_its_share() -> None:
    first = walk_forward_split(5000, 5, 0.7)[0]
    assert (first.train, first.test) == (slice(0, 1595), slice(1595, 2276))
    assert first.train.stop / first.test.stop == pytest.approx(0.7, abs=0.002)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((100, 5, 0.7), "too short"),
        ((0,), "too short"),
        ((1000, 0), "n_folds = 0"),
        ((1000, True), "n_folds = True"),
        ((1000, 2.5), "n_folds = 2.5"),
        ((1000, 5, 0.0), "train_ratio"),
        ((1000, 5, 1.0), "train_ratio"),
        ((1000, 5, float("nan")), "train_ratio"),
        ((1000, 5, 0.7, -1), "max_memory"),
        ((1000, 5, 0.7, 10), "at least 64"),
    ],
)
def test_impossible_folds_are_refused(arguments: tuple, message: str) -> None:
    as_a_user_calls_it = inspect.unwrap(walk_forward_split)  # without the type check of the test run
    with pytest.raises(DomainError, match=message):
        as_a_user_calls_it(*arguments)
