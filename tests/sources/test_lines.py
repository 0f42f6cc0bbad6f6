"""Lines from real servers on this machine: formats, broken connections, credentials."""

from __future__ import annotations

import base64
import logging

import numpy as np
import pandas as pd
import pytest
from waiting import stays

from uspnb.errors import DomainError
from uspnb.sources import LineSource
from uspnb.sources.lines import cut_lines

START = pd.Timestamp("2026-02-21T09:30", tz="UTC").value
TOKEN = "s3cr3t-token-of-the-test"


@pytest.fixture
def listen(line_server, drain):
    """Listen to the server."""
    opened = []

    def start(*lines, then="end", path="", **options):
        line_server.lines, line_server.then = list(lines), then
        opened.append(LineSource(line_server.url + path, **options))
        return drain(opened[-1])

    yield start
    for source in opened:
        source.close()


def test_every_form_of_a_line(listen):
    seconds = START // 10**9
    taken = listen(
        "time,value",
        "1.5",
        '{"value": 2}',
        '{"value": 3, "time": "2026-02-21T09:30:00Z", "proxy": 0.5, "sensor": "x"}',
        f'{{"time": {seconds}.25, "value": 4}}',
        f"{seconds * 1000},5",
        "2026-02-21 09:30:00.5, 6",
        "NaN",
        "",
        f"{START + 1},",
        clock=lambda: 5,
    ).to_the_end()
    assert taken.faults == []
    np.testing.assert_array_equal(taken.values, [1.5, 2, 3, 4, 5, 6, np.nan, np.nan])
    half = 500_000_000
    assert taken.stamps == [5, 6, START, START + half // 2, START, START + half, 7, START + 1]
    assert taken.proxies[2] == 0.5 and np.isnan(taken.proxies[0])


GARBAGE = {
    "word": ("oops", "neither a JSON number"),
    "null": ("null", "of type NoneType"),
    "true": ("true", "of type bool"),
    "text": ('"3.5"', "of type str"),
    "array": ("[1, 2]", "of type list"),
    "object without value": ('{"v": 1}', 'no "value" among its keys'),
    "object of null": ('{"value": null}', "of type NoneType"),
    "bad time": ('{"value": 1, "time": "soon"}', "'soon' is not a time"),
    "bool as time": ('{"value": 1, "time": true}', "True is not a time"),
    "small time": ("17,3", "too small a number"),
    "bad proxy": ('{"value": 1, "proxy": -1}', "above 0"),
    "three cells": ("1,2,3", "neither a JSON number"),
    "html": ("<html>", "neither a JSON number"),
    "deep": ("[" * 50_000, "neither a JSON number"),
    "long": ("7" * 70_000, "longer than 65,536"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_left_out_and_told_of(listen, name):
    line, reason = GARBAGE[name]
    taken = listen("1", line, "2").to_the_end()
    assert taken.values == [1.0, 2.0]
    ((place, fault),) = taken.faults
    assert place == 1 and fault.can_continue and 0 < len(fault.item) <= 80 and reason in fault.reason


def test_a_server_that_dies_is_a_fault_and_a_new_start_connects_again(listen, line_server):
    taken = listen("1", "2", then="die").until(ticks=2, faults=1)
    fault = taken.faults[0][1]
    assert taken.faults[0][0] == 2 and fault.can_continue and not taken.source.exhausted
    assert "server" in fault.reason or "connection" in fault.reason

    line_server.down()
    taken.source.start(taken.woken.set)
    taken.until(faults=2)
    assert "no connection" in taken.faults[1][1].reason and taken.faults[1][1].can_continue

    line_server.up()
    line_server.lines, line_server.then = ["3", "4"], "end"
    taken.source.start(taken.woken.set)
    assert taken.to_the_end().values == [1.0, 2.0, 3.0, 4.0] and len(taken.faults) == 2


def test_what_a_dying_server_left_of_a_line_is_no_tick(listen):
    assert listen("1", then="die").until(faults=1).values == [1.0]


def test_a_silent_server_is_no_fault_and_close_does_not_wait_for_it(listen):
    taken = listen("1", then="silence").until(ticks=1)
    assert stays(lambda: taken.take().faults == [] and not taken.source.exhausted)
    taken.source.close()
    assert taken.faults == []


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "wants credentials"), (404, "nothing at this"), (302, "has moved")]
)
def test_a_refusal_is_told_with_what_to_do(listen, line_server, status, reason):
    line_server.status = status
    fault = listen("1").until(faults=1).faults[0][1]
    assert str(status) in fault.reason and reason in fault.reason and fault.can_continue


def test_a_token_reaches_the_server_and_no_message(listen, line_server, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("USPNB_SOURCE_TOKEN", TOKEN)
    echo = f'{{"value": "{TOKEN}"}}'
    taken = listen("1", echo, TOKEN, then="die", path="?key=other-secret").until(faults=3)
    assert line_server.headers[0]["authorization"] == f"Bearer {TOKEN}"
    message = " ".join(f"{fault} {fault!r} {fault.item} {fault.args}" for _, fault in taken.faults)
    message += repr(taken.source) + taken.source.name + repr(taken.source._credentials)
    assert TOKEN not in message and "other-secret" not in message and "[hidden]" in message
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
    assert TOKEN not in " ".join(ours)  # websockets logs headers at DEBUG, and the server of the test may


def test_user_and_password_reach_the_server(listen, line_server, monkeypatch):
    monkeypatch.setenv("USPNB_SOURCE_USER", "ann")
    monkeypatch.setenv("USPNB_SOURCE_PASSWORD", "pass:word")
    listen("1").to_the_end()
    expected = base64.b64encode(b"ann:pass:word").decode()
    assert line_server.headers[0]["authorization"] == f"Basic {expected}"


def test_without_credentials_none_are_sent_not_even_those_of_a_netrc_file(listen, line_server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    listen("1").to_the_end()
    assert "authorization" not in line_server.headers[0]


def test_a_proxy_is_not_asked_for_this_machine(listen, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert listen("1").to_the_end().values == [1.0]


REFUSED = {
    "password": ("wss://ann:word@example.org/", "set USPNB_SOURCE_TOKEN"),
    "user": ("http://ann@127.0.0.1:1/", "set USPNB_SOURCE_TOKEN"),
    "scheme": ("ftp://127.0.0.1/", "begins with ws://"),
    "no host": ("http:///lines", "names a host"),
    "port": ("http://127.0.0.1:99999/", "cannot be read"),
    "bare": ("127.0.0.1:80", "begins with ws://"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_addresses_that_are_refused(name):
    url, reason = REFUSED[name]
    with pytest.raises(DomainError, match=reason) as raised:
        LineSource(url)
    assert "word" not in str(raised.value).replace("password", "").replace("PASSWORD", "")


@pytest.mark.parametrize("url", ["ws://example.org/", "http://192.0.2.7/", "http://127.0.0.1.example.org/"])
def test_credentials_do_not_travel_unencrypted(url, monkeypatch):
    LineSource(url)  # without credentials it may be tried
    monkeypatch.setenv("USPNB_SOURCE_TOKEN", TOKEN)
    with pytest.raises(DomainError, match="unencrypted") as raised:
        LineSource(url)
    assert TOKEN not in str(raised.value)
    LineSource(url.replace("ws://", "wss://").replace("http://", "https://"))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"USPNB_SOURCE_TOKEN": "a b"}, "holds a space"),
        ({"USPNB_SOURCE_TOKEN": "a\nX-Other: 1"}, "holds a space, an end of line"),
        ({"USPNB_SOURCE_USER": "ann"}, "must both be set"),
        ({"USPNB_SOURCE_PASSWORD": "word"}, "must both be set"),
        ({"USPNB_SOURCE_USER": "a:b", "USPNB_SOURCE_PASSWORD": "word"}, "colon"),
    ],
)
def test_credentials_that_no_header_carries_are_refused_unseen(setting, reason, monkeypatch):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DomainError, match=reason) as raised:
        LineSource("ws://127.0.0.1:1/")
    assert not any(value in str(raised.value).split() for value in setting.values())


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_lines_are_cut_alike_however_the_text_comes(size):
    text = "ab\n\ncdefghij\nk\nlast"
    blocks = (text[i : i + size] for i in range(0, len(text), size))
    assert list(cut_lines(blocks, 5)) == ["ab", "", "cdefg", "k", "last"]
