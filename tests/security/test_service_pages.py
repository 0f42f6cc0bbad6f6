"""The pages of a service under clients that mean harm, and a restart under a scraper."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dripping import Drip
from running_service import fetched
from waiting import until

from uspnb.engine.service.command import TEMPORARY_FAILURE, add_arguments, run
from uspnb.engine.service.http_server import LEAST_S, MOST_CONNECTIONS, SLOWEST_REQUEST_S, Pages, StatusServer

DRIPPING = 200


def pages() -> Pages:
    """Of a service that is well."""
    return Pages(lambda: None, list, lambda: b"", dict)


@pytest.fixture
def server() -> Iterator[StatusServer]:
    """A server on a free port."""
    running = StatusServer(pages(), "127.0.0.1", 0)
    yield running
    running.close()


def port_of(server: StatusServer) -> int:
    """Where it listens."""
    return int(server.url.rpartition(":")[2])


def test_dripping_connections_do_not_silence_health(server: StatusServer) -> None:
    """Each is opened anew at once where it is closed: thousands a second, if the server let them."""
    slowest_s = 0.0
    with Drip(port_of(server), DRIPPING) as drip:
        for _ in range(20):
            began = time.monotonic()
            assert fetched(f"{server.url}/healthz") == (200, "alive\n")
            slowest_s = max(slowest_s, time.monotonic() - began)
    assert drip.opened > DRIPPING and slowest_s < 10.0  # thirty times what an answer takes on a loaded machine


def test_a_request_that_drips_is_cut_after_its_deadline(server: StatusServer) -> None:
    """Each byte restarts the patience of a socket, so only a deadline of the whole request ends this."""
    began = time.monotonic()
    with Drip(port_of(server), 1, 0.2) as drip:
        until(lambda: drip.opened > 1)
    assert time.monotonic() - began >= 0.9 * SLOWEST_REQUEST_S


def test_a_connection_has_a_moment_to_be_read_before_it_gives_way(server: StatusServer) -> None:
    """Else a request that is there already is cut, where others come faster than threads begin."""
    began = time.monotonic()
    connections = [socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(MOST_CONNECTIONS + 1)]
    assert connections[0].recv(1) == b""
    assert time.monotonic() - began >= LEAST_S
    for connection in connections:
        connection.close()


def test_connections_that_come_while_none_is_accepted_wait_in_the_systems_queue(server: StatusServer) -> None:
    """Where it is full, a client's system tries again after a second and more, however soon there is room."""
    with server._server._lock:
        connections = [socket.create_connection(("127.0.0.1", port_of(server)), 3.0) for _ in range(DRIPPING)]
    for connection in connections:
        connection.close()
    assert fetched(f"{server.url}/healthz")[0] == 200


def test_silent_connections_beyond_the_bound_are_closed_oldest_first(server: StatusServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(MOST_CONNECTIONS + 8)]
    for connection in silent[:8]:
        assert connection.recv(1) == b""
    assert fetched(f"{server.url}/healthz")[0] == 200
    for connection in silent:
        connection.close()


def test_the_port_of_a_server_that_was_scraped_is_free_at_once() -> None:
    """The side that closes first keeps the pair of addresses for a minute (TIME_WAIT); here that is the server."""
    first = StatusServer(pages(), "127.0.0.1", 0)
    port = port_of(first)
    for _ in range(3):
        assert fetched(f"{first.url}/healthz")[0] == 200
    first.close()
    again = StatusServer(pages(), "127.0.0.1", port)
    assert fetched(f"{again.url}/healthz")[0] == 200
    again.close()


def test_a_port_in_use_is_a_temporary_failure(
    tmp_path: Path, server: StatusServer, capsys: pytest.CaptureFixture[str], project_root: Path
) -> None:
    settings = tmp_path / "c.toml"
    io = "\n".join(f'{name}_path = "{tmp_path / name}"' for name in ("snapshot", "telemetry", "emergency_dump"))
    settings.write_text(f"[io]\nmetrics_port = {port_of(server)}\n{io}\n")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args(["--config", str(settings), "--source", "sea"])) == TEMPORARY_FAILURE == 75
    assert "cannot be listened on" in capsys.readouterr().err
    unit = (project_root / "deploy" / "uspnb.service").read_text()
    assert "Restart=on-failure\n" in unit and "RestartPreventExitStatus=2\n" in unit
