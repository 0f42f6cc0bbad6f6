"""Who may reach a server, what a taken port says, and what a visitor sees of a broken page."""

from __future__ import annotations

import logging
import socket
import sys
import types

import pytest

from uspnb.errors import DomainError
from uspnb.widgets.apps import server
from uspnb.widgets.apps.reach import check_reach, is_loopback
from uspnb.widgets.apps.site import Site


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_password(address):
    assert is_loopback(address)
    check_reach("live", address, 5006, None)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "localhost.example", "", "127.0.0.1.example"])
def test_every_other_address_needs_one(address):
    with pytest.raises(DomainError, match="no password is set"):
        check_reach("live", address, 5006, None)
    check_reach("live", address, 5006, "open sesame")


def test_what_else_cannot_be_served():
    for arguments, reason in (
        (("maps", "127.0.0.1", 5006, None), "no app 'maps'"),
        (("live", "127.0.0.1", 65_536, None), "from 0 to 65,535"),
        (("live", "127.0.0.1", True, None), "from 0 to 65,535"),
        (("live", "127.0.0.1", 5006, ""), "password is empty"),
    ):
        with pytest.raises(DomainError, match=reason):
            check_reach(*arguments)


def test_origins_are_this_address_and_those_allowed():
    assert server.origins("127.0.0.1", 7) == ["127.0.0.1:7", "localhost:7"]
    assert "proxy.example" in server.origins("192.0.2.1", 7, ["proxy.example"])
    assert server.origins("192.0.2.1", 7) == ["192.0.2.1:7"]
    assert not any("*" in origin for origin in server.origins("0.0.0.0", 7))


def test_a_taken_port_is_named_with_the_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DomainError, match=rf"port {port} of 127\.0\.0\.1 is taken.*--port 0 for a free one"):
            server.build(Site(), port=port, address="127.0.0.1")


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(DomainError, match=r"192\.0\.2\.1 cannot be served"):
        server.build(Site(), port=0, address="192.0.2.1", password="open sesame")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DomainError("there is no file sea.csv; name another"), "there is no file sea.csv; name another"),
        (RuntimeError("secret detail"), "error in uspnb; the server's log has the details"),
    ],
)
def test_a_broken_page_says_so_and_no_more(monkeypatch, caplog, error, sentence):
    def broken(site):
        raise error

    module = types.ModuleType("uspnb.widgets.apps.live")
    vars(module)["LivePage"] = broken
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with caplog.at_level(logging.ERROR):
        page = server._guarded("live", Site())()
    texts = [item.text for item, _ in page._render_items.values() if hasattr(item, "text")]
    assert any(sentence in text for text in texts) and not any("secret" in text for text in texts)
    assert ("secret detail" in caplog.text) == isinstance(error, RuntimeError)


def test_pages_end_once_and_before_the_server(monkeypatch):
    ended = []
    monkeypatch.setattr("panel.state.on_session_destroyed", lambda act: None)
    site = Site()
    site.on_close(lambda: ended.append("server"))
    site.on_page_end(lambda: ended.append("page"))
    site.close()
    site.close()
    assert ended == ["page", "server"]
