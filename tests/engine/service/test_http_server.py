"""The pages of a service: what they answer, to whom, and that a bad client costs nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_service import fetched
from waiting import PATIENCE_S

from uspnb.engine.service.http_server import Pages, StatusServer
from uspnb.errors import DomainError, ResourceBusyError
from uspnb.sinks import Metrics

PROBLEMS: list[str] = []


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    """A server whose readiness is `PROBLEMS`."""
    metrics = Metrics()
    pages = Pages(
        lambda: PROBLEMS[0] if PROBLEMS else None, lambda: list(PROBLEMS), metrics.exposition, lambda: {"ticks": 3}
    )
    running = StatusServer(pages, "127.0.0.1", 0)
    yield running
    running.close()


def test_pages(server: StatusServer) -> None:
    assert fetched(f"{server.url}/healthz") == (200, "alive\n")
    assert fetched(f"{server.url}/readyz?verbose=1") == (200, "ready\n")
    status, text = fetched(f"{server.url}/status")
    assert status == 200 and json.loads(text) == {"ticks": 3}
    status, text = fetched(f"{server.url}/metrics")
    assert status == 200 and any(f.name.startswith("predictor_") for f in text_string_to_metric_families(text))
    assert fetched(f"{server.url}/etc/passwd")[0] == 404
    PROBLEMS.extend(["snapshots: the disk is full", "sources: silent"])
    assert fetched(f"{server.url}/readyz") == (503, "snapshots: the disk is full\nsources: silent\n")
    assert fetched(f"{server.url}/healthz")[0] == 503
    PROBLEMS.clear()
    assert fetched(f"{server.url}/readyz")[0] == 200


def test_head_has_no_body_and_writing_is_not_there(server: StatusServer) -> None:
    port = int(server.url.rpartition(":")[2])
    assert answer(port, b"HEAD /healthz HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")
    assert b" 501 " in answer(port, b"POST /status HTTP/1.0\r\nContent-Length: 0\r\n\r\n").splitlines()[0]


def test_another_name_for_the_loopback_address_is_refused(server: StatusServer) -> None:
    assert fetched(f"{server.url}/status", host="evil.example")[0] == 403
    assert fetched(f"{server.url}/status", host="[broken")[0] == 403
    assert fetched(f"{server.url}/status", host="localhost:9464")[0] == 200


def test_an_address_beyond_loopback_must_be_meant() -> None:
    pages = Pages(lambda: None, list, lambda: b"", dict)
    with pytest.raises(DomainError, match=r"0\.0\.0\.0.*--allow-public"):
        StatusServer(pages, "0.0.0.0", 0)
    public = StatusServer(pages, "0.0.0.0", 0, allow_public=True)
    port = public.url.rpartition(":")[2]
    assert fetched(f"http://127.0.0.1:{port}/healthz", host="any.example")[0] == 200
    public.close()


def test_a_port_that_is_taken_is_told(server: StatusServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(DomainError, match=rf"port {port} cannot be listened on.*0 takes a free one"):
        StatusServer(Pages(lambda: None, list, lambda: b"", dict), "127.0.0.1", port)


def test_a_port_that_is_taken_may_be_free_later(server: StatusServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(ResourceBusyError):
        StatusServer(Pages(lambda: None, list, lambda: b"", dict), "127.0.0.1", port)


def answer(port: int, request: bytes) -> bytes:
    """What the server says to raw bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        got = b""
        while piece := connection.recv(4096):
            got += piece
    return got
