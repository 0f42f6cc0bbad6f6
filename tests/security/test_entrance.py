"""What the page server answers at all: unknown modules, routes, hosts, origins and chosen sessions are refused."""

from __future__ import annotations

import re

import pytest
from visits import BAIT, HOME, PASSWORD, ask, shake

from uspnb.errors import DomainError
from uspnb.runtime.credentials import is_addressed
from uspnb.widgets.apps import server as serving
from uspnb.widgets.apps.reach import APPS
from uspnb.widgets.apps.site import Site


@pytest.mark.parametrize("resource", ["_css/a.css", "__javascript__/a.js", "_resources/a", "_stylesheets/elements.css"])
def test_no_module_is_imported_for_an_address(server, bait, resource):
    for name in (BAIT, f"{BAIT}.Part", "antigravity", "panel.widgets", "uspnb.cli", "../components"):
        assert ask(server, f"/components/{name}/Part/{resource}").status == 404
    assert not (bait / f"{BAIT}.seen").exists()


def test_the_styles_of_our_own_parts_are_sent_to_who_may_see_the_pages(open_server, closed_server):
    path = "/components/uspnb.widgets.apps.page/Notice/_stylesheets/elements.css"
    answer = ask(open_server, path)
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/css"
    assert ask(closed_server, path).status == 302


def test_the_routes_are_those_of_the_list():
    built = serving.build(Site(), port=0, address=HOME, password=PASSWORD)
    patterns = {rule.matcher.regex.pattern for rule in built._tornado.wildcard_router.rules}
    built.stop()
    assert patterns == {
        *(f"/{app}{end}" for app in APPS for end in ("/?$", "/ws$")),
        "/?$", "/favicon.ico$", "/login$", "/static/(.*)$", "/static/extensions/(.*)$",
        r"/style/(page\.css|page\.js|icon\.svg)$", r"/export/([\w-]+)/([\w.-]+)$", "/health$", "/status$",
        r"/components/uspnb\.widgets\.apps\.\w+/\w+/_stylesheets/(elements\.css)$",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/live/metadata", "/live/autoload.js?bokeh-autoload-element=1", "/logout", "/liveness", "/admin", "/rest/x",
     "/live/static/js/bokeh.min.js", "/components/", "/nothing", "/health/x", "//live", "/static/../server.py",
     "/static/%2e%2e/%2e%2e/x", "/style/server.py", "/style/../reach.py"],
)  # fmt: skip
def test_what_is_not_on_the_list_is_not_there(server, path):
    assert ask(server, path).status in (403, 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
def test_pages_are_only_fetched(server, method):
    assert ask(server, "/live", method).status in (403, 405)


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "elsewhere.example:5006", "127.0.0.1.elsewhere.example", "[", ""]
)
@pytest.mark.parametrize("path", ["/", "/live", "/health", "/status", "/style/page.css", "/login", "/nothing"])
def test_a_name_that_the_server_does_not_go_by_is_refused(server, path, host):
    answer = ask(server, path, Host=host)
    assert answer.status in (400, 421) and (answer.status == 400 or b"--allow-origin" in answer.body)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:5006", "LOCALHOST", "127.8.8.8"])
def test_this_machine_is_one_of_its_names(open_server, host):
    assert ask(open_server, "/health", Host=host).status == 200
    assert is_addressed(host)


def test_names_are_given_one_by_one():
    assert is_addressed("proxy.example:443", {"proxy.example"}) and not is_addressed(
        "a.proxy.example", {"proxy.example"}
    )
    for pattern in ("*", "*.example", ":80"):
        with pytest.raises(DomainError, match="is no name of a host"):
            serving.origins("127.0.0.1", 7, [pattern])


def test_the_server_names_sessions_by_itself(open_server):
    chosen = "A" * 44
    for query in (f"bokeh-session-id={chosen}", "bokeh-token=x", f"BOKEH-x=1&bokeh-session-id={chosen}"):
        assert ask(open_server, f"/live?{query}").status == 403
    assert ask(open_server, "/live", Bokeh_Session_Id=chosen).status == 403
    (token,) = re.findall(rb'"token":"([^"]+)"', ask(open_server, "/live", Cookie="secret=1; uspnb_theme=dark").body)
    assert token.count(b".") == 1, "the token is not signed"


def test_a_websocket_from_elsewhere_or_without_the_login_is_refused(open_server, closed_server):
    for origin in ("http://elsewhere.example", "null", "http://127.0.0.1:1", "https://localhost"):
        assert shake(open_server, "x", Origin=origin) == 403
    assert shake(open_server, "x", Host="elsewhere.example", Origin="http://elsewhere.example") == 421
    assert shake(closed_server, "x", Origin=closed_server.address) == 403


@pytest.mark.parametrize("token", ["x", "e30.e30", "eyJzZXNzaW9uX2lkIjoiYSJ9.x"])
def test_a_websocket_with_a_made_up_token_makes_no_page(open_server, token):
    before = open_server.status()["pages"]
    assert shake(open_server, token, Origin=open_server.address) == 101
    assert open_server.status()["pages"] <= before


def test_the_health_page_says_ok_and_no_more(server):
    answer = ask(server, "/health")
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_every_answer_protects_the_reader(server):
    for path in ("/", "/live", "/login", "/health", "/nothing", "/style/page.js", "/static/js/bokeh.min.js"):
        headers = ask(server, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin" and headers["Server"] == "uspnb"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "script-src 'self' 'unsafe-inline'" not in policy and "http" not in policy


def test_the_scripts_of_a_page_carry_a_mark_that_no_other_page_has(open_server):
    first, second = (ask(open_server, "/explore") for _ in range(2))
    marks = []
    for page in (first, second):
        (mark,) = re.findall(r"'nonce-([^']+)'", page.headers["Content-Security-Policy"])
        inline = re.findall(rb"<script(?![^>]*src=)[^>]*>", page.body)
        assert inline and all(f'nonce="{mark}"'.encode() in tag for tag in inline)
        marks.append(mark)
    assert marks[0] != marks[1]
