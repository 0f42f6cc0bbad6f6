"""Helper processes: messages both ways, both kinds of start, and every way of ending."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE_S

from uspnb.runtime.child import Child, ChildEnded, Message, read_message, write_message

CODE = """
import os, sys, signal
from uspnb.runtime.child import read_message, write_message

def echo(source, sink):
    print("a stray line")
    while (message := read_message(source)) is not None:
        write_message(sink, message.head, message.body)

def look(source, sink):
    import uspnb
    from uspnb.runtime.arguments import check_whole
    names = {"jax": "jax" in sys.modules, "version": hasattr(uspnb, "__version__")}
    write_message(sink, names | {"five": check_whole("n", 5)})

def flood(source, sink):
    while True:
        write_message(sink, {}, bytes(1 << 20))

def deaf(source, sink):
    write_message(sink, {})
    while True:
        signal.pause()

def fail(source, sink):
    sys.exit(7)

def finish(source, sink):
    write_message(sink, {"ready": True})
    while (message := read_message(source)) is not None:
        pass
    write_message(sink, {"finished": True})
"""
Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "served_in_tests.py").write_text(CODE)
    children: list[Child] = []

    def begin(function: str, *, light: bool = True, **rest: Any) -> Child:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        child = Child(f"served_in_tests:{function}", light=light, environment=environment, **rest)
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.close(PATIENCE_S)


@pytest.mark.parametrize("message", [Message({}), Message({"a": [1, 2.5, None, "ä"]}, b"\0\n{"), Message({}, bytes(9))])
def test_a_message_is_read_as_it_was_written(message: Message, tmp_path: Path) -> None:
    with (tmp_path / "pipe").open("w+b") as stream:
        write_message(stream, message.head, message.body[:1], message.body[1:])
        length = stream.tell()
        stream.seek(0)
        assert read_message(stream) == message
        assert read_message(stream) is None
        for cut in range(length):
            stream.truncate(length - 1 - cut)
            stream.seek(0)
            assert read_message(stream) is None, "a message that was cut off is none"


def test_messages_come_back_in_order(start: Start) -> None:
    """What the child prints is no answer."""
    child = start("echo")
    for k in range(20):
        child.send({"k": k}, bytes([k]), b"x" * 3)
    assert [child.receive() for _ in range(20)] == [Message({"k": k}, bytes([k]) + b"xxx") for k in range(20)]
    child.send({"large": True}, bytes(3 << 20))
    assert len(child.receive().body) == 3 << 20
    assert child.exit_code is None and child.pid != os.getpid()
    assert child.close(PATIENCE_S) == 0


@pytest.mark.parametrize("light", [True, False])
def test_a_light_child_imports_no_jax(start: Start, light: bool) -> None:
    child = start("look", light=light)
    assert child.receive().head == {"jax": not light, "version": not light, "five": 5}
    assert child.close(PATIENCE_S) == 0


def test_answers_may_go_to_a_thread_up_to_the_last(start: Start) -> None:
    answers: queue.Queue[Message] = queue.Queue()
    child = start("finish", answered=answers.put)
    assert answers.get(timeout=PATIENCE_S).head == {"ready": True}
    assert child.close(PATIENCE_S) == 0
    assert answers.get_nowait().head == {"finished": True}


def test_a_child_that_ends_is_told_of(start: Start) -> None:
    child = start("fail")
    with pytest.raises(ChildEnded, match=r"served_in_tests:fail has ended \(exit status 7\)"):
        child.receive()
    with pytest.raises(ChildEnded, match="exit status 7"):
        child.send({}, bytes(1 << 20))
    assert child.close(PATIENCE_S) == 7


def test_a_killed_child_lets_go_of_who_waits(start: Start) -> None:
    child = start("deaf")
    child.receive()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildEnded, match="exit status -9"):
        child.receive()
    assert child.close(PATIENCE_S) == -signal.SIGKILL


def test_closing_waits_no_longer_than_the_deadline(start: Start) -> None:
    child = start("deaf")
    child.receive()
    assert child.close(0.05) == -signal.SIGKILL


def test_answers_that_nobody_fetched_hold_up_no_end(start: Start) -> None:
    child = start("flood")
    child.receive()
    assert child.close(0.5) == -signal.SIGKILL
    with pytest.raises(ChildEnded):
        child.send({})


def test_a_shielded_child_ends_with_its_pipe_alone(start: Start) -> None:
    answers: queue.Queue[Message] = queue.Queue()
    child = start("finish", shielded=True, answered=answers.put)
    answers.get(timeout=PATIENCE_S)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child.pid, number)
    child.send({})
    assert child.close(PATIENCE_S) == 0
    assert answers.get_nowait().head == {"finished": True}


def test_others_end_with_sigterm(start: Start) -> None:
    child = start("deaf")
    child.receive()
    os.kill(child.pid, signal.SIGTERM)
    with pytest.raises(ChildEnded, match="exit status -15"):
        child.receive()
