"""Who may see the pages where a password is set: guesses, forged forms and cookies, and what a login may lead to."""

from __future__ import annotations

import contextlib
import re
import time
from urllib.parse import urlencode

import pytest
from bokeh.util.token import get_token_payload
from visits import ELSEWHERE, HOME, PASSWORD, ask, sign_in
from waiting import until

from uspnb.widgets.apps.login import LONGEST_WAIT_S, MOST_ADDRESSES, MOST_WRONG, Attempts


def test_a_page_does_not_repeat_the_cookie_that_opens_it(closed_server):
    visitor = sign_in(closed_server, PASSWORD).cookies["uspnb_visitor"].value
    page = ask(closed_server, "/live", Cookie=f"uspnb_visitor={visitor}; uspnb_theme=dark")
    (token,) = re.findall(rb'"token":"([^"]+)"', page.body)
    assert page.status == 200 and visitor not in str(get_token_payload(token.decode()))


def test_nothing_is_shown_without_the_password(closed_server):
    for path in ("/", "/live", "/tune?series=sea", "/status", "/export/key/name.nc"):
        answer = ask(closed_server, path)
        assert answer.status == 302 and "/login" in answer.headers["Location"]
        forged = ask(closed_server, path, Cookie="uspnb_visitor=2|1:0|10:0|4:user|8:dmlzaXRvcg==|0; user=x")
        assert forged.status == 302


def test_the_right_password_opens_the_page_that_was_asked_for(closed_server):
    answer = sign_in(closed_server, PASSWORD, path="/login?next=%2Flive%3Fseries%3Dsea")
    assert (answer.status, answer.headers["Location"]) == (302, "./live?series=sea")
    cookie = answer.cookies["uspnb_visitor"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["secure"]
    assert ask(closed_server, "/", Cookie=f"uspnb_visitor={cookie.value}").status == 200


@pytest.mark.parametrize(
    "wanted", ["https://elsewhere.example/live", "//elsewhere.example", "/\\x", "javascript:1", "["]
)
def test_a_login_leads_nowhere_else(closed_server, wanted):
    answer = sign_in(closed_server, PASSWORD, path="/login?" + urlencode({"next": wanted}))
    assert (answer.status, answer.headers["Location"]) == (302, "./")


def test_behind_tls_cookies_travel_over_nothing_else(closed_server):
    answer = sign_in(closed_server, PASSWORD, X_Forwarded_Proto="https", X_Real_IP="192.0.2.9")
    assert answer.cookies["uspnb_visitor"]["secure"]
    assert ask(closed_server, "/login", X_Forwarded_Proto="https").cookies["uspnb_xsrf"]["secure"]


def test_a_form_of_another_page_signs_nobody_in(closed_server):
    for cookie in ("", "uspnb_xsrf=x", "_xsrf=a"):
        answer = ask(closed_server, "/login", "POST", body={"password": PASSWORD, "_xsrf": "a"}, Cookie=cookie)
        assert answer.status == 403 and "uspnb_visitor" not in answer.cookies
    assert ask(closed_server, f"/login?{urlencode({'password': PASSWORD})}", "POST", body={}).status == 403


def test_the_wait_grows_with_wrong_passwords_while_another_address_gets_in_at_once(closed_server):
    def wait_s() -> int:
        answer = sign_in(closed_server, "guess", at=ELSEWHERE)
        assert answer.status in (403, 429) and "uspnb_visitor" not in answer.cookies
        return int(answer.headers.get("Retry-After", 0))

    until(lambda: wait_s() == 1)
    until(lambda: wait_s() == 8)  # after waits of 1, 2 and 4 s
    refused = sign_in(closed_server, PASSWORD, at=ELSEWHERE)
    assert refused.status == 429 and b"Too many wrong passwords" in refused.body
    began = time.monotonic()
    assert sign_in(closed_server, PASSWORD).status == 302
    assert time.monotonic() - began < 1.0  # the bar of the house; it takes some milliseconds
    log = "".join(closed_server.lines)
    assert f"wrong password from {ELSEWHERE}, number 1" in log and "guess" not in log


def test_a_proxy_says_who_guesses(closed_server):
    guesses = [sign_in(closed_server, "guess", X_Real_IP="192.0.2.1").status for _ in range(3)]
    assert guesses[:2] == [403, 403] and guesses[2] in (403, 429)  # 403 where a second has passed since
    until(lambda: sign_in(closed_server, "guess", X_Real_IP="192.0.2.1").status == 429)
    assert sign_in(closed_server, PASSWORD, X_Real_IP="192.0.2.2").status == 302


def test_waits_double_to_a_quarter_of_an_hour_and_are_forgotten():
    attempts, now, waits = Attempts(), 0.0, []
    for _ in range(MOST_WRONG + 2):
        attempts.add_wrong(ELSEWHERE, now)
        waits.append(attempts.wait_s(ELSEWHERE, now))
        now += waits[-1]
    assert waits[:6] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0] and waits[-3:] == [LONGEST_WAIT_S] * 3
    assert attempts.wait_s(HOME, now) == 0.0
    attempts.add_wrong(ELSEWHERE, now + 3.0 * LONGEST_WAIT_S)
    assert attempts.wait_s(ELSEWHERE, now + 3.0 * LONGEST_WAIT_S) == 0.0
    attempts.forget(ELSEWHERE)
    assert attempts.wait_s(ELSEWHERE, now) == 0.0


def test_the_owner_of_a_network_is_one_visitor_and_the_table_is_bounded():
    attempts = Attempts()
    for k in range(5):
        attempts.add_wrong(f"2001:db8::{k:x}", 0.0)
    assert attempts.wait_s("2001:db8::ffff", 0.0) > 0.0 and attempts.wait_s("2001:db8:0:1::1", 0.0) == 0.0
    for k in range(MOST_ADDRESSES + 5):
        attempts.add_wrong(f"10.{k >> 16}.{k >> 8 & 255}.{k & 255}", 0.0)
    assert len(attempts._wrong) == MOST_ADDRESSES


def test_a_large_request_is_not_taken_in(closed_server):
    with contextlib.suppress(ConnectionError):
        answer = ask(closed_server, "/login", "POST", body={"password": "x" * 1_000_000})
        assert answer.status in (400, 403, 413)
    assert ask(closed_server, "/health").status == 200
