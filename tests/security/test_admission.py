"""Openings of pages: one after the other, bounded, and in between the server answers."""

from __future__ import annotations

import asyncio

import pytest
from opened_pages import open_at_once

from uspnb.widgets.apps.admission import MOST_WAITING, Admission, Full


def test_more_pages_at_once_than_may_wait_are_opened_or_politely_refused(open_server):
    count = MOST_WAITING + 20
    openings = open_at_once(open_server.address, count, "/fleet")
    assert set(openings.statuses) <= {200, 503} and openings.statuses[200] >= MOST_WAITING
    assert openings.polls >= 10 and openings.slowest_poll_s < 10.0  # a page takes some tenths of a second
    assert open_server.status()["refused"] == openings.statuses[503]
    open_server.wait_until("pages", 0)
    assert open_at_once(open_server.address, 1).statuses == {200: 1}


def test_turns_come_one_after_the_other_and_places_are_given_back():
    inside, most = 0, 0

    async def open_page(admission: Admission) -> str:
        nonlocal inside, most
        try:
            async with admission.turn():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1
            return "opened"
        except Full:
            return "refused"

    async def crowd() -> list[str]:
        admission = Admission(lambda: 0, most_waiting=3)
        outcomes = await asyncio.gather(*(open_page(admission) for _ in range(9)))
        assert admission.waiting == 0 and admission.refused == outcomes.count("refused")
        return [*outcomes, await open_page(admission)]

    outcomes = asyncio.run(crowd())
    assert most == 1 and outcomes.count("opened") == 5 and outcomes[-1] == "opened"


def test_no_page_is_opened_beyond_as_many_as_the_server_bears():
    async def beyond(pages: int) -> None:
        async with Admission(lambda: pages, most_pages=2).turn():
            pass

    asyncio.run(beyond(1))
    with pytest.raises(Full):
        asyncio.run(beyond(2))


def test_a_failed_page_gives_its_turn_back():
    async def fail_and_open() -> None:
        admission = Admission(lambda: 0)
        with pytest.raises(ZeroDivisionError):
            async with admission.turn():
                raise ZeroDivisionError
        async with admission.turn():
            pass

    asyncio.run(fail_and_open())
