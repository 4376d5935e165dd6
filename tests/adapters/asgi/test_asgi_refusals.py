"""Refused access in Starlette: `requires`, a failed authentication backend, WebSockets, mounted apps."""

import base64
import binascii

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser, requires
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from adapters.asgi.asgiclient import browsing, names, told, watched


class Backend(AuthenticationBackend):
    async def authenticate(self, conn):
        given = conn.headers.get("authorization")
        if given is None:
            return None
        kind, _, credential = given.partition(" ")
        if kind == "Basic":
            try:
                name = base64.b64decode(credential).decode().partition(":")[0]
            except (ValueError, binascii.Error):
                raise AuthenticationError("no Basic") from None
            if name == "ann":
                return AuthCredentials(["authenticated"]), SimpleUser(name)
        raise AuthenticationError("bad credentials")


@requires("admin")
async def admin(request):
    return PlainTextResponse("admin")


@requires(["authenticated", "admin", "audit"])
def several(request):
    return PlainTextResponse("several")


@requires("authenticated", redirect="start")
async def private(request):
    return PlainTextResponse("private")


async def start(request):
    return PlainTextResponse("start")


async def refuse(request):
    raise HTTPException(403)


async def policy(websocket):
    await websocket.close(1008)


async def own_code(websocket):
    raise WebSocketException(4403)


async def who(websocket):
    await websocket.close(4401)


@requires("admin")
async def admin_talk(websocket):
    raise AssertionError


async def denial(websocket):
    await websocket.send_denial_response(PlainTextResponse("no", 403))


def basic(name):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:wrong-word".encode()).decode()}


def create_app():
    inner = Starlette(routes=[Route("/deny/{id:int}", refuse)])
    return watched(
        Starlette(
            routes=[
                Route("/admin", admin),
                Route("/several", several),
                Route("/private", private),
                Route("/", start, name="start"),
                Mount("/inner", inner),
                WebSocketRoute("/ws/policy", policy),
                WebSocketRoute("/ws/own", own_code),
                WebSocketRoute("/ws/who", who),
                WebSocketRoute("/ws/admin", admin_talk),
                WebSocketRoute("/ws/denial", denial),
            ],
            middleware=[Middleware(AuthenticationMiddleware, backend=Backend())],
        )
    )


@pytest.fixture
def browser(entries):
    with browsing(create_app()) as browser:
        browser.get("/")
        entries.clear()
        yield browser


def test_requires(browser, entries):
    """A missing scope is a refusal, by the exception."""
    assert browser.get("/admin").status == 403
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"]) == ("authz_fail", "permission_denied")
    assert entry["seclog.view"].endswith("test_asgi_refusals.admin")
    assert entry["seclog.permission"] == "admin"
    assert "user.id" not in entry


def test_requires_names_only_what_is_missing(browser, entries):
    """Of several scopes those are named that the user does not have; a synchronous endpoint is no different."""
    assert browser.get("/several", headers=basic("ann")).status == 403
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.permission"]) == ("authz_fail", "admin audit")


def test_requires_names_the_user(browser, entries):
    """Who is known to the authentication middleware is named."""
    assert browser.get("/admin", headers=basic("ann")).status == 403
    [entry] = told(entries)
    assert (entry["event.name"], entry["user.id"], entry["user.name"]) == ("authz_fail", "ann", "ann")


def test_requires_with_a_redirect(browser, entries):
    """`requires(redirect=…)` leads away with 303: who is not logged in would have to be."""
    assert browser.get("/private").status == 303
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"]) == ("authz_unauthenticated", "login_required")


def test_a_failed_backend_with_basic(browser, entries):
    """A refused HTTP Basic header is a failed login, under a pseudonym, and the 400 is no client error."""
    assert browser.get("/", headers=basic("mallory")).status == 400
    login, request = told(entries)
    assert (login["event.name"], login["seclog.auth.method"]) == ("authn_login_fail", "basic")
    assert login["user.name"].startswith("unknown:")
    assert (request["event.name"], request["reason"]) == ("authz_unauthenticated", "authentication_failed")
    assert "mallory" not in str(entries)
    assert "wrong-word" not in str(entries)


def test_a_failed_backend_with_a_token(browser, entries):
    """A refused token is one entry that names it by a keyed hash, and one about the request."""
    browser.get("/", headers={"Authorization": "Bearer abcdefgh12345"})
    token, request = told(entries)
    assert (token["event.name"], token["reason"]) == ("authn_token_invalid", "refused")
    assert token["seclog.token.id_hash"]
    assert request["event.name"] == "authz_unauthenticated"
    assert "abcdefgh12345" not in str(entries)


@pytest.mark.parametrize(
    ("path", "name", "code"),
    [
        ("/ws/policy", "authz_fail", 1008),
        ("/ws/own", "authz_fail", 4403),
        ("/ws/admin", "authz_fail", 1000),
        ("/ws/who", "authz_unauthenticated", 4401),
        ("/ws/nowhere", "api_client_error", 1000),
    ],
)
def test_a_refused_websocket(browser, entries, path, name, code):
    """A connection that is closed before it is accepted is one entry, with the code; nowhere is no refusal."""
    sent = browser.websocket(path)
    assert sent[-1]["type"] == "websocket.close"
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.websocket.close_code"], entry["url.path"]) == (name, code, path)


def test_a_denial_response(browser, entries):
    """A connection that is answered with 403 is one entry, with the status."""
    browser.websocket("/ws/denial")
    [entry] = told(entries)
    assert (entry["event.name"], entry["http.response.status_code"]) == ("authz_fail", 403)


def test_a_websocket_with_bad_credentials(browser, entries):
    """A failed backend closes the WebSocket with 1000."""
    browser.websocket("/ws/policy", headers={"Authorization": "Bearer abc"})
    assert names(entries) == ["authz_unauthenticated"]


def test_a_mounted_app(browser, entries):
    """A refusal in a mounted app is one entry, with the mount's prefix in the template."""
    assert browser.get("/inner/deny/7").status == 403
    [entry] = told(entries)
    assert (entry["http.route"], entry["url.path"]) == ("/inner/deny/{id:int}", "/inner/deny/7")


def test_a_mounted_app_with_a_door_of_its_own(entries):
    """Two doors around one request tell once."""
    inner = watched(Starlette(routes=[Route("/deny", refuse)]))
    with browsing(watched(Starlette(routes=[Mount("/inner", inner)]))) as browser:
        browser.get("/inner/deny")
    assert names(entries) == ["authz_fail"]


def test_behind_a_base_http_middleware(entries):
    """A `BaseHTTPMiddleware` runs the app in another task: which exception it was is known all the same."""

    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            return await call_next(request)

    app = watched(Starlette(routes=[Route("/deny", refuse)], middleware=[Middleware(Passing)]))
    with browsing(app) as browser:
        browser.get("/deny")
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"]) == ("authz_fail", "permission_denied")
