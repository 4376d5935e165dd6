"""Starlette's signed sessions, and the login heuristic on them."""

import re
from secrets import token_urlsafe

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from adapters.asgi.asgiclient import browsing, names, told, watched

WORD = token_urlsafe(9)


async def login(request):
    form = await request.form()
    if form.get("password") != WORD:
        return HTMLResponse("again")
    request.session.update(user_id=7, username=form["username"])
    return RedirectResponse("/", 303)


async def leave(request):
    request.session.clear()
    return PlainTextResponse("bye")


async def look(request):
    request.session.get("user_id")
    return PlainTextResponse("home")


def create_app(**about):
    routes = [Route("/login", login, methods=["POST"]), Route("/leave", leave), Route("/", look)]
    return watched(Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=WORD)]), **about)


@pytest.fixture
def browser(entries):
    with browsing(create_app()) as browser:
        browser.get("/")
        entries.clear()
        yield browser


def test_login(browser, entries):
    """A user who appears in the session with a POST to a login has logged in."""
    browser.post("/login", form={"username": "ann", "password": WORD})
    login, session = told(entries)
    assert (login["event.name"], login["user.id"], login["user.name"]) == ("authn_login_success", "7", "ann")
    assert (login["seclog.auth.method"], login["seclog.detected_by"]) == ("password", "heuristic")
    assert (session["event.name"], session["user.id"]) == ("session_created", "7")
    assert WORD not in str(entries)


def test_failed_login(browser, entries):
    """The form again is a failed login, under a pseudonym."""
    browser.post("/login", form={"username": "ann", "password": "x"})
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"]) == ("authn_login_fail", "invalid_credentials")
    assert re.fullmatch("unknown:[0-9a-f]{16}", entry["user.name"])


def test_without_the_heuristic(entries):
    """Switched off, only the session is told of."""
    with browsing(create_app(login_heuristic=False)) as browser:
        browser.post("/login", form={"username": "ann", "password": "x"})
        browser.post("/login", form={"username": "ann", "password": WORD})
    assert names(entries) == ["session_created"]


def test_logout(browser, entries):
    """A session that is cleared was left, by its user."""
    browser.post("/login", form={"username": "ann", "password": WORD})
    entries.clear()
    browser.get("/leave")
    [entry] = told(entries)
    assert (entry["event.name"], entry["user.id"]) == ("session_logout", "7")


def test_a_forged_cookie(browser, entries):
    """A cookie that is not signed by the app is told once, by a keyed hash."""
    cookie = token_urlsafe(20)
    for _ in range(2):
        browser.get("/", headers={"Cookie": f"session={cookie}"})
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"]) == ("session_use_after_expire", "unknown_session")
    assert entry["seclog.session.id_hash"]
    assert cookie not in str(entries)


def test_an_expired_cookie(browser, entries, monkeypatch):
    """A cookie that was the app's and is too old is a session that expired, of its user."""
    browser.post("/login", form={"username": "ann", "password": WORD})
    entries.clear()
    import itsdangerous.timed

    ahead = itsdangerous.timed.time.time() + 15 * 24 * 3600
    monkeypatch.setattr(itsdangerous.timed.TimestampSigner, "get_timestamp", lambda self: int(ahead))
    browser.get("/")
    [entry] = told(entries)
    assert (entry["event.name"], entry["user.id"]) == ("session_expired", "7")


def test_an_unchanged_session_is_quiet(browser, entries):
    """Using a session tells nothing."""
    browser.post("/login", form={"username": "ann", "password": WORD})
    entries.clear()
    browser.get("/")
    assert told(entries) == []
