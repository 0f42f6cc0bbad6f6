"""Acting on a page: with none, on its thread, and when it has been left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from uspnb.widgets.page_views import on_page


class Left:
    """A document of which Bokeh has deleted the callbacks."""

    def __init__(self, context) -> None:
        self.session_context = context

    def add_next_tick_callback(self, act):
        raise AttributeError("_change_callbacks")


def test_without_a_page_it_is_done_here_and_with_one_by_its_thread():
    done, handed = [], []
    on_page([], lambda: done.append(1))
    assert done == [1]
    on_page([SimpleNamespace(add_next_tick_callback=handed.append)], lambda: done.append(2))
    assert done == [1] and len(handed) == 1


def test_a_page_that_was_left_gets_nothing_and_a_defect_is_not_hidden():
    done = []
    on_page([Left(None)], lambda: done.append(1))
    assert done == []
    with pytest.raises(AttributeError):
        on_page([Left("a context")], lambda: done.append(1))
