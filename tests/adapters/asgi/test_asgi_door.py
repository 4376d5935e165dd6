"""The door itself: how it is put up, what starts and ends with it, and what it must not disturb."""

import asyncio
import inspect
import subprocess
import sys

import pytest
from asgiref.sync import iscoroutinefunction
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import seclog
from adapters.asgi.asgiclient import browsing, names, told, watched
from adapters.browsers import ASGIBrowser
from seclog import api
from seclog.adapters._scope import WebScope
from seclog.adapters.asgi import SecurityEventMiddleware, install, startup
from seclog.adapters.asgi import door as doors
from seclog.errors import ConfigurationError, MissingExtraError, NotRecordedError

KNOWS_LIMIT = "max_body_size" in inspect.signature(Starlette.__init__).parameters


async def home(request):
    return PlainTextResponse("home")


async def refuse(request):
    raise HTTPException(403)


async def echo(request):
    return PlainTextResponse(str(len(await request.body())), 400)


def create_app(*more, **about):
    return Starlette(
        routes=[Route("/", home), Route("/deny", refuse), Route("/echo", echo, methods=["POST"]), *more], **about
    )


# ── putting it up ───────────────────────────────────────────────────────────────────────────────────────────────


def test_install_twice(entries):
    """A second call does nothing."""
    app = watched(watched(create_app()))
    with browsing(app) as browser:
        browser.get("/deny")
    assert names(entries) == ["authz_fail"]


def test_install_and_middleware(entries):
    """Both doors on one app tell once."""
    app = watched(create_app())
    app.add_middleware(SecurityEventMiddleware)
    with browsing(app) as browser:
        browser.get("/deny")
    assert names(entries) == ["authz_fail"]


def test_install_after_the_first_request(entries):
    """An app that serves already is watched from then on."""
    app = create_app()
    with browsing(app) as browser:
        browser.get("/deny")
        watched(app)
        browser.get("/deny")
    assert names(entries) == ["authz_fail"]


def test_install_wants_a_starlette_app():
    """Anything else is told what to do."""
    with pytest.raises(TypeError, match=r"wrap any other ASGI app: app = SecurityEventMiddleware\(app\)"):
        install(object())


def test_install_without_starlette(monkeypatch):
    """The error says which extra brings it."""
    monkeypatch.setattr(doors, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "seclog\[asgi\]"'):
        install(create_app())


def test_a_wrong_setting(entries):
    """A wrong setting is told at the start."""
    with pytest.raises(ConfigurationError, match="on_failure"):
        install(create_app(), {"on_failure": "panic"})


def test_nothing_of_a_framework_is_imported():
    """The plain door works where no Starlette and no FastAPI are installed."""
    code = (
        "import sys\nfor name in ('starlette', 'fastapi', 'django', 'flask', 'itsdangerous'): sys.modules[name] = None\n"
        "from seclog.adapters.asgi import SecurityEventMiddleware, install, audit_access, Actor\n"
        "SecurityEventMiddleware(lambda *about: None, {'directory': None, 'watch': False})\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_scope_has_all_that_its_bases_have():
    """The scope sets the slots of its bases by itself, for speed: as they would, and none is forgotten."""
    visit, web_scope = doors.Visit(None, {}, None, None), WebScope()
    for kind in doors.Visit.__mro__:
        for slot in getattr(kind, "__slots__", ()):
            value = getattr(visit, slot)
            assert slot == "started_ns" or value == getattr(web_scope, slot, value)


def test_send_says_that_it_is_awaitable():
    """Who asks before calling `send`, as asgiref does, hears that it is a coroutine function."""
    visit = doors.Visit(None, {}, None, None)
    assert iscoroutinefunction(visit.send)


def test_what_the_app_sends_after_a_refusal_does_not_leave():
    """Once the request is refused, nothing of the app's answer follows, even if its start had passed."""
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def refused():
        visit = doors.Visit(None, {}, None, send)
        visit._is_passing = visit.is_refused = True
        await visit.refuse()
        await visit.send({"type": "http.response.body", "body": b"the app's"})

    asyncio.run(refused())
    assert sent == ["http.response.start", "http.response.body"]


# ── start and end ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_lifespan(entries, monkeypatch):
    """A process tells of its start and of its end, which the server announces."""
    monkeypatch.setattr(startup, "_started", None)
    with TestClient(watched(create_app())) as client:
        client.get("/")
    first, last = entries
    assert (first["event.name"], first["seclog.framework"]) == ("sys_startup", "asgi")
    assert (last["event.name"], last["reason"]) == ("sys_shutdown", "lifespan")


def test_a_shutdown_ends_the_segment(tmp_path):
    """With a journal, its segment is ended before the server hears that the app is down."""
    before = api.installed()
    try:
        api._installed = None
        installation = seclog.configure({"directory": tmp_path, "watch": False})
        with TestClient(watched(create_app())) as client:
            client.get("/deny")
        assert not installation.journal.is_begun
        [segment] = tmp_path.glob("**/*.jsonl")
        assert "sys_shutdown" in segment.read_text()
    finally:
        api._installed = before


# ── what it must not disturb ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not KNOWS_LIMIT, reason="this Starlette has no max_body_size")
@pytest.mark.parametrize("door", [watched, lambda app: app.add_middleware(SecurityEventMiddleware) or app])
@pytest.mark.parametrize("view", [echo, home])
def test_a_body_that_is_too_large(entries, door, view):
    """A body beyond `max_body_size` is a client error, whatever passes the middleware on its way."""
    routes = [Route("/large", view, methods=["POST"])]
    with browsing(door(Starlette(routes=routes, max_body_size=10))) as browser:
        assert browser.post("/large", body=b"x" * 100).status == 413
    [entry] = told(entries)
    assert (entry["event.name"], entry["http.response.status_code"]) == ("api_client_error", 413)


def test_a_cancelled_request(entries):
    """A request that is cancelled stays cancelled, and is no error."""

    async def sleep(request):
        await asyncio.sleep(60)

    async def cancelled():
        browser = ASGIBrowser(app, runner=object())
        task = asyncio.create_task(browser._send(browser.made("GET", "/sleep")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    app = watched(create_app(Route("/sleep", sleep)))
    asyncio.run(cancelled())
    assert told(entries) == []


def test_a_file_that_the_server_sends(entries, tmp_path):
    """A path that the server is given is a download of the promised size."""
    (tmp_path / "a.csv").write_bytes(b"x" * 1234)

    async def file(request):
        return FileResponse(tmp_path / "a.csv", filename="b.csv")

    class Server(ASGIBrowser):
        @staticmethod
        def _scope(request):
            return {**ASGIBrowser._scope(request), "extensions": {"http.response.pathsend": {}}}

    browser = Server(watched(create_app(Route("/file", file))))
    browser.get("/file")
    browser.close()
    [entry] = told(entries)
    assert (entry["file.name"], entry["seclog.bytes"], entry["event.outcome"]) == ("b.csv", 1234, "success")


def test_a_file_in_parts(entries, tmp_path):
    """A file is counted as it leaves; a part of it says which."""
    (tmp_path / "a.csv").write_bytes(b"x" * 200_000)

    async def file(request):
        return FileResponse(tmp_path / "a.csv", filename="b.csv")

    with browsing(watched(create_app(Route("/file", file)))) as browser:
        assert len(browser.get("/file").body) == 200_000
        assert browser.get("/file", headers={"Range": "bytes=0-9"}).status == 206
    whole, part = told(entries)
    assert (whole["seclog.bytes"], part["seclog.bytes"]) == (200_000, 10)
    assert part["seclog.file.range"] == "bytes 0-9/200000"


def test_a_file_that_the_web_server_sends(entries):
    """A file that is handed over by a header has a name, and a size that nobody here knows."""

    async def file(request):
        return Response(headers={"X-Accel-Redirect": "/protected/report%201.pdf"})

    with browsing(watched(create_app(Route("/file", file)))) as browser:
        browser.get("/file")
    [entry] = told(entries)
    assert entry["file.name"] == "report 1.pdf"
    assert "seclog.bytes" not in entry


def test_an_aborted_download_of_an_older_server(entries):
    """Before ASGI 2.4 the app learns from `receive` that the client is gone, and just stops."""

    async def stream(request):
        async def chunks():
            for _ in range(10):
                yield b"x" * 100
                await asyncio.sleep(0.01)

        return StreamingResponse(chunks(), headers={"Content-Disposition": "attachment"})

    class Older(ASGIBrowser):
        @staticmethod
        def _scope(request):
            return {**ASGIBrowser._scope(request), "asgi": {"version": "3.0", "spec_version": "2.3"}}

    browser = Older(watched(create_app(Route("/stream", stream))))
    browser.close_early("/stream")
    browser.close()
    [entry] = told(entries)
    assert (entry["event.outcome"], entry["reason"]) == ("failure", "aborted")
    assert entry["seclog.bytes"] < 1000


def test_an_upload(entries):
    """Of a multipart form the fields are told, and of a file name, size and type only."""

    async def upload(request):
        async with request.form():
            return PlainTextResponse("bad", 400)

    parts = (
        b'--b\r\nContent-Disposition: form-data; name="colour"\r\n\r\nred\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
        b"what-is-in-it\r\n--b--\r\n"
    )
    with browsing(watched(create_app(Route("/upload", upload, methods=["POST"])))) as browser:
        browser.post("/upload", body=parts, content_type="multipart/form-data; boundary=b")
    [entry] = told(entries)
    sent = entry["seclog.params_censored"]
    assert sent["form"] == {"colour": "red"}
    assert sent["files"] == [{"name": "a.txt", "size": 13, "type": "text/plain"}]
    assert "what-is-in-it" not in str(entry)


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain"])
def test_another_kind_of_body(entries, kind):
    """What is neither a form nor JSON is not kept."""
    with browsing(watched(create_app())) as browser:
        browser.post("/echo", body=b"what-is-in-it", content_type=kind)
    [entry] = told(entries)
    assert entry["seclog.params_censored"] == {}


# ── other apps inside ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_wsgi_app_inside(entries):
    """What a mounted WSGI app answers is told once, by its status."""
    from asgiref.wsgi import WsgiToAsgi

    def inside(environ, start_response):
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"no"]

    with browsing(watched(create_app(Mount("/old", WsgiToAsgi(inside))))) as browser:
        assert browser.get("/old/deny").status == 403
    [entry] = told(entries)
    assert (entry["event.name"], entry["url.path"]) == ("authz_fail", "/old/deny")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_django_inside_of_fastapi(entries, settings, kind):
    """With both adapters a request to a mounted Django is told once, by Django's; the others by this one."""
    from asgiref.wsgi import WsgiToAsgi
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from fastapi import FastAPI

    settings.ROOT_URLCONF = "adapters.asgi.django_urls"
    app = FastAPI()
    app.add_route("/deny", refuse)
    app.mount("/django", ASGIHandler() if kind == "asgi" else WsgiToAsgi(WSGIHandler()))
    with browsing(watched(app)) as browser:
        assert browser.get("/django/deny/").status == 403
        assert browser.get("/django/nowhere/").status == 404
        assert browser.get("/deny").status == 403
        assert browser.get("/django/").status == 200
    found = [(e["event.name"], e["url.path"], e.get("reason")) for e in told(entries)]
    assert found == [
        ("authz_fail", "/django/deny/", "permission_denied"),
        ("api_client_error", "/django/nowhere/", "not_found"),
        ("authz_fail", "/deny", "permission_denied"),
    ]


def test_litestar(entries):
    """Litestar works through the plain door."""
    litestar = pytest.importorskip("litestar", exc_type=ImportError)

    @litestar.get("/orders")
    async def order() -> str:
        raise litestar.exceptions.PermissionDeniedException

    @litestar.get("/crash")
    async def crash() -> str:
        raise RuntimeError

    app = litestar.Litestar([order, crash], logging_config=None)
    with browsing(SecurityEventMiddleware(app)) as browser:
        assert browser.get("/orders").status == 403
        assert browser.get("/crash").status == 500
        assert browser.get("/nowhere").status == 404
    assert names(entries) == ["authz_fail", "app_unhandled_exception", "api_client_error"]
    assert told(entries)[0]["url.path"] == "/orders"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Quart needs Python 3.13")
def test_quart(entries):
    """Quart works through the plain door."""
    quart = pytest.importorskip("quart", reason="Quart is not installed")
    app = quart.Quart("app")

    @app.get("/deny")
    async def deny():
        quart.abort(403)

    with browsing(SecurityEventMiddleware(app)) as browser:
        assert browser.get("/deny").status == 403
    assert names(entries) == ["authz_fail"]


@pytest.mark.contains_errors
def test_an_answer_that_has_left_is_not_answered_again(entries):
    """What cannot be recorded after the response has started refuses nothing any more: one start, no second one."""
    sent = []

    class Refusing:
        redacted = 0

        def append(self, body, *, keep=True):
            raise NotRecordedError("no")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seclog.emit("sensitive_read", target_type="x")

    async def send(message):
        sent.append(message["type"])

    recorder = api.installed().recorder
    before, recorder.sink = recorder.sink, Refusing()
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    try:
        asyncio.run(SecurityEventMiddleware(app)(scope, None, send))
    finally:
        recorder.sink = before
    assert sent == ["http.response.start"]
