"""`seclog.denied` in Starlette: the app says why, and the one entry says with what status it ended."""

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

import seclog
from adapters.asgi.asgiclient import browsing, told, watched


def refuse():
    seclog.denied("not_owner", permission="order.read", target_type="order", target_id=7)


async def answer(request):
    refuse()
    return PlainTextResponse("no", int(request.path_params["status"]))


def in_thread(request):
    refuse()
    raise HTTPException(403)


async def boom(request):
    refuse()
    raise RuntimeError


async def later(request):
    return PlainTextResponse("yes", background=BackgroundTask(refuse))


async def closed(websocket):
    refuse()
    await websocket.close(1008)


async def accepted(websocket):
    await websocket.accept()
    refuse()
    await websocket.close()


def app():
    routes = [
        Route("/answer/{status}", answer),
        Route("/thread", in_thread),
        Route("/boom", boom),
        Route("/later", later),
        WebSocketRoute("/closed", closed),
        WebSocketRoute("/accepted", accepted),
    ]
    return watched(Starlette(routes=routes))


@pytest.mark.parametrize(
    ("url", "status"),
    [("/answer/403", 403), ("/answer/404", 404), ("/answer/200", 200), ("/thread", 403), ("/boom", 500),
     ("/later", 200)],
)  # fmt: skip
def test_one_entry_with_the_status(entries, url, status):
    """Whatever the answer is, also after it has left: one entry, with what the app said and what the client got."""
    with browsing(app()) as browser:
        browser.get(url)
    [entry] = told(entries)
    assert (entry["event.name"], entry["reason"], entry["http.response.status_code"]) == (
        "authz_fail",
        "not_owner",
        status,
    )
    assert (entry["seclog.permission"], entry["seclog.target.type"], entry["seclog.target.id"]) == (
        "order.read",
        "order",
        "7",
    )


@pytest.mark.parametrize("url", ["/closed", "/accepted"])
def test_in_a_websocket(entries, url):
    """Before the handshake is decided it is told with it, afterwards at once."""
    with browsing(app()) as browser:
        browser.websocket(url)
    assert [entry["reason"] for entry in told(entries)] == ["not_owner"]
