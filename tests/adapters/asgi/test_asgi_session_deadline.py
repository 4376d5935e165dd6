"""A session that the app ends itself, by its own deadline, and tells of."""

from secrets import token_urlsafe

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import seclog
from adapters.asgi.asgiclient import browsing, told, watched

KEY = token_urlsafe(9)


async def login(request):
    request.session.update(user_id=7, csrf_token=KEY)
    return PlainTextResponse("in")


async def look(request):
    seclog.emit("session_expired", reason="expired")
    request.session.clear()
    return PlainTextResponse("over")


def test_the_end_is_told_once(entries):
    """An expiry that the app tells is no logout as well."""
    routes = [Route("/login", login, methods=["POST"]), Route("/", look)]
    app = watched(Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=KEY)]))
    with browsing(app) as browser:
        browser.post("/login")
        entries.clear()
        browser.get("/")
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"], entry["user.id"]) == ("session_expired", "expired", "7")
    assert entry["seclog.session.id_hash"]
