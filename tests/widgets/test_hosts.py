"""The two hosts of a view, a notebook and a served page: one battery over the three views in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import comm
import numpy as np
import pytest
from stand_ins import StandInCampaign, StandInFleet, StandInSession
from waiting import until

import uspnb.widgets as widgets
from uspnb.engine.fleet import Fleet
from uspnb.engine.session import Session
from uspnb.errors import DomainError
from uspnb.tuning.background import AsyncMetaOptimizer
from uspnb.widgets import notebook_views, page_views
from uspnb.widgets.page_views import on_page

VIEWS = {
    "live": (StandInSession, {"notebook": widgets.LiveView, "page": widgets.LivePane}),
    "fleet": (StandInFleet, {"notebook": widgets.FleetView, "page": widgets.FleetPane}),
    "tuning": (StandInCampaign, {"notebook": widgets.TuningMonitor, "page": widgets.TuningPane}),
}
REFUSED = [
    ("live", StandInSession, {"rows": 50}, "rows = 50"),
    ("live", StandInSession, {"rows": True}, "rows = True"),
    ("live", StandInSession, {"height": 10}, "height = 10"),
    ("live", StandInSession, {"theme": "pink"}, "theme = 'pink'"),
    *(("live", lambda thing=thing: thing, {}, r"make one: uspnb\.Session") for thing in (None, [1.0, 2.0], Session)),
    ("fleet", lambda: Fleet(np.zeros((5, 2))), {"height": 10}, "height = 10"),
    ("fleet", lambda: Fleet(np.zeros((5, 2))), {"theme": "pink"}, "theme = 'pink'"),
    ("fleet", lambda: 3, {}, r"shows a uspnb\.Fleet, not a int"),
    ("tuning", StandInCampaign, {"theme": "pink"}, "theme = 'pink'"),
    *(("tuning", lambda thing=thing: thing, {}, "shows an AsyncMetaOptimizer") for thing in (3, AsyncMetaOptimizer)),
]


@pytest.fixture(params=VIEWS)
def open_view(request, monkeypatch) -> Iterator[Callable[..., Any]]:
    """Opens the view in one of the hosts: the view and the stand-in that it shows."""
    for views in (notebook_views, page_views):  # a stand-in passes for a fleet
        monkeypatch.setattr(views, "check_fleet", lambda fleet, theme, height: None)
    stand_in, hosts = VIEWS[request.param]
    views: list[Any] = []

    def open_in(host: str) -> tuple[Any, Any]:
        watched = stand_in()
        views.append(hosts[host](watched))
        return views[-1], watched

    yield open_in
    for view in views:
        view.close()


def test_both_hosts_have_the_same_traits_and_hear_what_the_link_takes(open_view) -> None:
    widget, pane = open_view("notebook")[0], open_view("page")[0]
    synced = {name for name in widget.trait_names(sync=True) if not name.startswith("_")}
    of_hosts = {"layout", "tabbable", "tooltip", "height"}  # a page's own height would fix the box
    assert synced - of_hosts <= set(pane.param)
    assert set(widget._link.inbound) <= set(widget.trait_names(echo_update=False)) & set(pane._busy__ignore)
    assert type(widget._link) is type(pane._link) and widget.meta.keys() == pane.meta.keys()


def test_a_page_sets_parameters_and_is_heard(open_view) -> None:
    pane, watched = open_view("page")
    pane.hello = {"client": "a", "id": 1}
    until(lambda: pane.frame)
    pane.command = {"client": "a", "name": "pause", "value": None, "id": 1}
    assert watched.commands == [("pause", None)]
    assert pane.status["notice"] is None


def test_a_notebook_sends_frames_past_the_trait_and_is_heard(open_view, monkeypatch) -> None:
    sent: list[Any] = []

    def publish(self, msg_type, data=None, metadata=None, buffers=None, **keys) -> None:
        if data and data.get("method") == "update" and data["buffer_paths"] == [["frame"]]:
            sent.extend(buffers or [])

    monkeypatch.setattr(comm.DummyComm, "publish_msg", publish)
    widget, watched = open_view("notebook")
    widget.set_state({"hello": {"client": "a", "id": 1}})
    until(lambda: sent)
    assert widget.frame == b""
    widget.set_state({"command": {"client": "a", "name": "pause", "value": None, "id": 1}})
    assert watched.commands == [("pause", None)]


@pytest.mark.parametrize("host", ["notebook", "page"])
def test_a_closed_view_no_longer_watches(open_view, host) -> None:
    view, watched = open_view(host)
    assert len(watched.callbacks) == 1
    view.close()
    assert watched.callbacks == []


def test_a_page_view_ends_with_the_last_page_that_shows_it(open_view) -> None:
    pane, watched = open_view("page")
    pages = ["one", "other"]
    pane._pages.extend(pages)
    pane._leave(pages[0])
    assert len(watched.callbacks) == 1
    pane._leave(pages[1])
    assert watched.callbacks == []


@pytest.mark.parametrize("host", ["notebook", "page"])
@pytest.mark.parametrize(("kind", "make", "arguments", "reason"), REFUSED)
def test_what_cannot_be_shown_is_refused_by_name(kind, make, arguments, reason, host) -> None:
    with pytest.raises(DomainError, match=reason):
        VIEWS[kind][1][host](make(), **arguments)


# -- acting on a page: with none, on its thread, and when it has been left ------------------------------------------


class LeftPage:
    """A document of which Bokeh has deleted the callbacks."""

    def __init__(self, context) -> None:
        self.session_context = context

    def add_next_tick_callback(self, act):
        raise AttributeError("_change_callbacks")


def test_without_a_page_it_is_done_here_and_with_one_by_its_thread():
    done, scheduled = [], []
    on_page([], lambda: done.append(1))
    assert done == [1]
    on_page([SimpleNamespace(add_next_tick_callback=scheduled.append)], lambda: done.append(2))
    assert done == [1] and len(scheduled) == 1


def test_a_page_that_was_left_gets_nothing_and_a_defect_is_not_hidden():
    done = []
    on_page([LeftPage(None)], lambda: done.append(1))
    assert done == []
    with pytest.raises(AttributeError):
        on_page([LeftPage("a context")], lambda: done.append(1))
