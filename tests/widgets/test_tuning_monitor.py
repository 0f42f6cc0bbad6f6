"""The monitor of a campaign without a browser: what it sends, what it takes, what it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stand_ins import SPACE, Posts, StandInCampaign, campaign_status

from uspnb.config.load import load_config, parse_config
from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.config.schema import PredictorConfig
from uspnb.config.template import render_template
from uspnb.errors import DomainError, IntegrityError
from uspnb.tuning.background import AsyncMetaOptimizer
from uspnb.tuning.study import BayesianMetaOptimizer
from uspnb.widgets.tuning_applying import Place
from uspnb.widgets.tuning_link import TuningLink


def bowl(params: dict[str, Any]) -> float:
    """Lowest at cusum_k = 0.6; refuses a corner, as a bad candidate would."""
    if params["cusum_k"] > 0.9:
        raise ValueError("too bold <b>")
    return 1.0 + (params["cusum_k"] - 0.6) ** 2 + (params["score_forgetting"] - 0.97) ** 2


def campaign(folder: Path, **rest: Any) -> AsyncMetaOptimizer:
    meta = MetaOptimizationConfig(checkpoint_path=str(folder), batch_size=8)
    return AsyncMetaOptimizer(SPACE, bowl, study_name="bowl", meta_config=meta, **rest)


@pytest.fixture
def linked():
    """A stand-in, its link and what the link has posted; a front end has said hello."""
    stand_in, posts = StandInCampaign(), Posts()
    link = TuningLink(stand_in, posts)
    link.start()
    link.receive("hello", {"client": "page", "id": 1})
    yield stand_in, link, posts
    link.close()


def test_hello_is_answered_with_status_board_and_frame(linked):
    _, link, posts = linked
    posts.until("frame")
    assert posts.until("status", lambda status: status and status["name"] == "s")["tier"] == "fast"
    assert [name for name, _ in posts.all].index("board") < [name for name, _ in posts.all].index("frame")
    link.receive("acknowledged", 1)
    assert link.frames.in_flight == 0


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("resume", None, "is not paused"), ("start", 2.5, "trials = 2.5"), ("start", True, "trials = True")],
)
def test_a_refused_command_is_told(linked, name, value, reason):
    _, link, posts = linked
    link.receive("command", {"client": "page", "name": name, "value": value, "id": 1})
    assert reason in posts.until("status", lambda status: status and status["refused"])["message"]
    link.receive("command", {"client": "page", "name": "stop", "value": None, "id": 2})
    posts.until("status", lambda status: not status["refused"])


def test_neither_the_campaign_nor_the_page_waits_for_what_is_read(linked):
    stand_in, link, posts = linked
    posts.until("frame")
    stand_in.may_read.clear()
    stand_in.now = campaign_status(trials=7)
    for callback in stand_in.callbacks:
        callback()
    link.receive("command", {"client": "page", "name": "stop", "value": None, "id": 1})
    assert stand_in.commands == [("stop", None)]  # what is read is held until the next line
    stand_in.may_read.set()
    posts.until("status", lambda status: status["trials"] == 7)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(IntegrityError("line 7 is torn"), "line 7 is torn"), (RuntimeError("no server"), "RuntimeError: no server")],
)
def test_a_campaign_that_cannot_be_read_is_told_and_tried_again(linked, error, reason):
    stand_in, link, posts = linked
    posts.until("frame")
    stand_in.broken, stand_in.now = error, campaign_status(trials=7)
    link.changed()
    assert reason in posts.until("status", lambda status: status["refused"])["message"]
    stand_in.broken, stand_in.now = None, campaign_status(trials=8)
    link.changed()
    posts.until("status", lambda status: status["trials"] == 8 and not status["refused"])


def test_a_campaign_that_must_not_run_is_refused():
    stand_in, posts = StandInCampaign(), Posts()

    def refuse() -> None:
        raise DomainError("2 campaigns are running")

    link = TuningLink(stand_in, posts, may_start=refuse)
    link.start()
    link.receive("hello", {"client": "page"})
    link.receive("command", {"client": "page", "name": "start", "value": 5, "id": 1})
    assert posts.until("status", lambda status: status and status["refused"])["message"] == "2 campaigns are running"
    assert stand_in.commands == []
    link.close()


def driven(link: TuningLink, posts: Posts, name: str, value: Any, number: int) -> dict[str, Any]:
    """What came of an act on files."""
    before = len([1 for posted, _ in posts.all if posted == "reply"])
    link.receive("command", {"client": "page", "name": name, "value": value, "id": number})
    return posts.until("reply", lambda _: len([1 for posted, _ in posts.all if posted == "reply"]) > before)


def test_a_real_campaign_is_run_applied_and_undone(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(render_template())
    before, posts = path.read_text(), Posts()
    with campaign(tmp_path) as optimizer:
        link = TuningLink(optimizer, posts, Place("file", path))
        link.start()
        link.receive("hello", {"client": "page"})
        assert driven(link, posts, "apply", {"path": str(path)}, 1)["kind"] == "refused"  # no trial yet
        link.receive("command", {"client": "page", "name": "start", "value": 24, "id": 2})
        posts.until("status", lambda status: status["state"] == "finished")
        board = posts.until("board", lambda board: board["best"]["rows"])
        best = {row["name"]: row["best"] for row in board["best"]["rows"]}
        verdict = posts.until("board", lambda board: board["verdict"].get("recommendation", "").startswith("the best"))
        assert "nothing can be paired" in verdict["verdict"]["recommendation"] and not verdict["verdict"]["recommended"]
        assert board["failures"]["rows"][0]["reason"] == "ValueError: too bold <b>"

        reply = driven(link, posts, "apply", {"path": str(path), "beyond": True}, 3)
        assert reply["kind"] == "done" and f"{path}: accepted" in reply["text"] and "cusum_k" in reply["text"]
        assert load_config(path).cusum_k == best["cusum_k"]
        posts.until("status", lambda status: status["undoable"] and not status["busy"])
        link.close()
        link = TuningLink(optimizer, posts, Place("file", path))  # as when a page is loaded again
        link.start()
        link.receive("hello", {"client": "the same page, later"})
        reply = driven(link, posts, "undo", {"path": "elsewhere.toml"}, 4)
        assert reply["kind"] == "done" and path.read_text() == before
        posts.until("status", lambda status: not status["undoable"])
        assert "nothing was applied" in driven(link, posts, "undo", {}, 5)["text"]

        refused = ((" ", "no configuration file was named"), (str(tmp_path), tmp_path.name))
        for number, (typed, reason) in enumerate(refused, 6):
            reply = driven(link, posts, "apply", {"path": typed}, number)
            assert reply["kind"] == "refused" and reason in reply["text"]
        link.close()


def test_a_page_writes_its_own_file_or_none(tmp_path):
    ours, theirs, posts = tmp_path / "ours.toml", tmp_path / "theirs.toml", Posts()
    for path in (ours, theirs):
        path.write_text(render_template())
    with campaign(tmp_path) as optimizer:
        optimizer.optimize(n_trials=16)
        fixed = TuningLink(optimizer, posts, Place("fixed", ours))
        assert fixed.meta == {"writes": "fixed", "path": "ours.toml"}
        fixed.start()
        reply = driven(fixed, posts, "apply", {"path": str(theirs), "beyond": True}, 1)
        assert reply["kind"] == "done" and str(tmp_path) not in reply["text"]
        assert theirs.read_text() == render_template() != ours.read_text()
        fixed.close()

        none = TuningLink(optimizer, posts, Place("download"))
        none.start()
        assert "nothing may be written" in driven(none, posts, "apply", {"path": str(theirs)}, 1)["text"]
        assert driven(none, posts, "toml", {}, 2)["kind"] == "done"
        offered = posts.last("download")
        assert offered["name"] == "bowl.toml"
        assert parse_config(offered["text"], source="offered").cusum_k == optimizer.result().best_params["cusum_k"]
        assert theirs.read_text() == render_template()
        none.close()
    with pytest.raises(DomainError, match="'everywhere' is not one of"):
        Place("everywhere")


def test_show_understands_an_optimizer(tmp_path):
    from uspnb.widgets import TuningMonitor, show

    with campaign(tmp_path) as optimizer:
        first = show(optimizer)
        assert isinstance(first, TuningMonitor) and show(optimizer) is first
        assert first.optimizer is optimizer and first.meta["writes"] == "file"
        assert "text/html" in first._repr_mimebundle_()[0]
        first.close()
        assert show(optimizer) is not first
        blocking = BayesianMetaOptimizer(SPACE, bowl, study_name="other", meta_config=optimizer.meta_config)
        wrapped = show(blocking)
        assert isinstance(wrapped, TuningMonitor) and show(blocking) is wrapped
        assert isinstance(wrapped.optimizer, AsyncMetaOptimizer) and wrapped.optimizer.optimizer is blocking


def test_the_code_runs_and_makes_the_same_campaign(tmp_path):
    with campaign(tmp_path, base_config=PredictorConfig(cusum_k=0.4)) as optimizer:
        posts = Posts()
        link = TuningLink(optimizer, posts)
        link.start()
        link.receive("hello", {"client": "page"})
        code = posts.until("board")["code"]
        link.close()
    names: dict[str, Any] = {"objective": bowl}
    exec(code, names)
    copy = names["optimizer"]
    copy.stop()
    copy.shutdown()
    assert copy.search_space == SPACE and copy.place == str(tmp_path / "bowl.journal")
    assert copy.base_config == PredictorConfig(cusum_k=0.4) and "series" not in code
