"""The two hosts of a view, a notebook and a served page: one battery over the three views in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import comm
import pytest
from stand_ins import StandInCampaign, StandInFleet, StandInSession
from waiting import until

from uspnb.widgets import notebook_views, page_views
from uspnb.widgets.link import Link
from uspnb.widgets.page_views import on_page

VIEWS = {"Live": StandInSession, "Fleet": StandInFleet, "Tuning": StandInCampaign}
NOTEBOOK = {"Live": "LiveView", "Fleet": "FleetView", "Tuning": "TuningMonitor"}
PAGE = {"Live": "LivePane", "Fleet": "FleetPane", "Tuning": "TuningPane"}


@pytest.fixture(params=VIEWS)
def kind(request, monkeypatch) -> str:
    """Which view; a stand-in passes for a fleet."""
    for views in (notebook_views, page_views):
        monkeypatch.setattr(views, "check_fleet", lambda fleet, theme, height: None)
    return request.param


@pytest.fixture
def opened(kind) -> Iterator[Callable[..., Any]]:
    """Opens the view on a stand-in in one of the hosts."""
    made: list[Any] = []

    def open_in(module: Any, names: dict[str, str], watched: Any) -> Any:
        made.append(getattr(module, names[kind])(watched))
        return made[-1]

    yield open_in
    for view in made:
        view.close()


def test_both_hosts_have_the_same_traits_and_hear_what_the_link_takes(kind, opened) -> None:
    widget, pane = opened(notebook_views, NOTEBOOK, VIEWS[kind]()), opened(page_views, PAGE, VIEWS[kind]())
    synced = {name for name in widget.trait_names(sync=True) if not name.startswith("_")}
    of_hosts = {"layout", "tabbable", "tooltip", "height"}  # a page's own height would fix the box
    assert synced - of_hosts <= set(pane.param)
    link: Link = widget._link
    assert set(link.heard) <= set(widget.trait_names(echo_update=False)) & set(pane._busy__ignore)
    assert type(link) is type(pane._link) and widget.meta.keys() == pane.meta.keys()


def test_a_page_sets_parameters_and_is_heard(kind, opened) -> None:
    watched = VIEWS[kind]()
    pane = opened(page_views, PAGE, watched)
    pane.hello = {"client": "a", "id": 1}
    until(lambda: pane.frame)
    pane.command = {"client": "a", "name": "pause", "value": None, "id": 1}
    assert watched.commands == [("pause", None)]
    assert pane.status["notice"] is None


def test_a_notebook_sends_frames_past_the_trait_and_is_heard(kind, opened, monkeypatch) -> None:
    sent: list[Any] = []

    def publish(self, msg_type, data=None, metadata=None, buffers=None, **keys) -> None:
        if data and data.get("method") == "update" and data["buffer_paths"] == [["frame"]]:
            sent.extend(buffers or [])

    monkeypatch.setattr(comm.DummyComm, "publish_msg", publish)
    watched = VIEWS[kind]()
    widget = opened(notebook_views, NOTEBOOK, watched)
    widget.set_state({"hello": {"client": "a", "id": 1}})
    until(lambda: sent)
    assert widget.frame == b""
    widget.set_state({"command": {"client": "a", "name": "pause", "value": None, "id": 1}})
    assert watched.commands == [("pause", None)]


@pytest.mark.parametrize("host", ["notebook", "page"])
def test_a_closed_view_no_longer_watches(kind, opened, host) -> None:
    watched = VIEWS[kind]()
    view = opened(*((notebook_views, NOTEBOOK) if host == "notebook" else (page_views, PAGE)), watched)
    assert len(watched.callbacks) == 1
    view.close()
    assert watched.callbacks == []


def test_a_page_view_ends_with_the_last_page_that_shows_it(kind, opened) -> None:
    watched = VIEWS[kind]()
    pane = opened(page_views, PAGE, watched)
    pages = ["one", "other"]
    pane._pages.extend(pages)
    pane._leave(pages[0])
    assert len(watched.callbacks) == 1
    pane._leave(pages[1])
    assert watched.callbacks == []


# -- acting on a page: with none, on its thread, and when it has been left ------------------------------------------


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
