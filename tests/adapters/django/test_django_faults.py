"""Bad input and faults: one correct entry, and the app never notices; unless `on_failure="block"` wants it to."""

import asyncio
import json
import re
from io import BytesIO

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.dispatch import Signal
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.urls import path
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.views import APIView

import seclog
from seclog import api
from seclog.adapters._attack_tools import tool_of
from seclog.adapters.django import response as observers
from seclog.context import current
from seclog.errors import NotRecordedError

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

moved = Signal()
moved.connect(lambda **kwargs: seclog.emit("sensitive_update"), weak=False)


def emits(request):
    seclog.emit("sensitive_update")
    return HttpResponse("done")


async def aemits(request):
    seclog.emit("sensitive_update")
    return HttpResponse("done")


def swallows(request):
    moved.send_robust(sender=None)
    return HttpResponse("done")


async def waits(request):
    await asyncio.sleep(60)


class Api(APIView):
    authentication_classes = []
    permission_classes = []

    def get(self, request):
        return HttpResponse(emits(request).content)

    def get_exception_handler(self):
        return lambda exc, context: HttpResponse("all is well")


class Held(BytesIO):
    """A file that can be seen to be closed."""


held = []


def holds(request):
    held.append(Held(b"x"))
    return FileResponse(held[-1], as_attachment=True)


urlpatterns = [
    path("emits/", emits),
    path("aemits/", aemits),
    path("swallows/", swallows),
    path("api/", Api.as_view()),
    path("waits/", waits),
    path("holds/", holds),
    path(
        "stream/",
        lambda r: StreamingHttpResponse(iter([b"x"]), headers={"Content-Disposition": "attachment"}),
    ),
    path("page/", lambda request: HttpResponse("page")),
    path("boom/", lambda request: 1 // 0),
]


class SorryMiddleware:
    """An app's middleware that answers every exception itself."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        return HttpResponse("all is well")


class Refusing:
    """A journal that is full and may not lose anything."""

    redacted = 0

    def append(self, body, **kwargs):
        raise NotRecordedError("the disk is full")


class Broken:
    """A journal with an error of our own."""

    redacted = 0

    def append(self, body, **kwargs):
        raise RuntimeError("broken")


@pytest.fixture
def sink(entries):
    """Put another sink in the place of the one that collects entries."""
    recorder = api.installed().recorder
    before = recorder.sink

    def use(instead):
        recorder.sink = instead

    yield use
    recorder.sink = before


def get(url, asgi, **headers):
    if asgi:
        return asyncio.run(AsyncClient(raise_request_exception=False).get(url, **headers))
    return Client(raise_request_exception=False).get(url, **headers)


def told(entries):
    return [e for e in entries if not e["event.name"].startswith("sys_")]


# ── on_failure="block" ───────────────────────────────────────────────────────────────────────────────────────────


EVERY = ["/emits/", "/aemits/", "/swallows/", "/api/", "/holds/", "/nothing/", "/boom/"]


# An app that answers its own exception has nothing to record: no "/boom/" among the swallowed ones.
@pytest.mark.parametrize(
    ("url", "swallowed"), [(url, False) for url in EVERY] + [(url, True) for url in EVERY if url != "/boom/"]
)
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_recorded_is_refused(settings, sink, url, asgi, swallowed):
    """With `block` the client gets 503 from every layer, even where the app catches the error on its way."""
    if swallowed:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SorryMiddleware"]
    sink(Refusing())
    response = get(url, asgi)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert b"cannot be recorded" in response.content


@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.django_db(transaction=True)
def test_a_request_without_an_event_is_served(sink, asgi):
    """Only what must be recorded is refused."""
    sink(Refusing())
    assert get("/page/", asgi).content == b"page"


@pytest.mark.contains_errors  # the start entry, when this is the first request of the process
def test_a_refused_answer_is_closed(sink):
    """What the app's answer held open is closed with ours."""
    sink(Refusing())
    response = WSGIHandler()(RequestFactory()._base_environ(PATH_INFO="/holds/"), lambda status, headers: None)
    assert response.status_code == 503 and not held[-1].closed
    response.close()
    assert held[-1].closed


@pytest.mark.contains_errors
def test_a_stream_that_cannot_be_recorded_is_not_cut(sink):
    """When a stream ends its bytes are gone: there is nothing left to refuse, and nothing is raised into the server."""
    sink(Refusing())
    response = Client().get("/stream/")
    assert b"".join(response.streaming_content) == b"x"


# ── our own errors ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.contains_errors
@pytest.mark.parametrize("url", ["/page/", "/emits/", "/aemits/", "/holds/", "/nothing/", "/boom/"])
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("broken", ["sink", "observe", "has_event", "sessions", "downloads", "denials", "parameters"])
@pytest.mark.django_db(transaction=True)
def test_an_error_of_ours_never_reaches_the_app(monkeypatch, sink, url, asgi, broken):
    """Whatever breaks in us, the app's answer is what it would have been without us."""
    expected = {"/nothing/": 404, "/boom/": 500}.get(url, 200)

    def explode(*args, **kwargs):
        raise RuntimeError("our own")

    match broken:
        case "sink":
            sink(Broken())
        case "observe" | "has_event":
            monkeypatch.setattr(observers, broken, explode)
        case "sessions":
            monkeypatch.setattr(observers.sessions, "observe", explode)
        case "downloads":
            monkeypatch.setattr(observers.downloads, "has_data", explode)
        case "denials":
            monkeypatch.setattr(observers.denials, "denial", explode)
        case "parameters":
            monkeypatch.setattr(observers.errors, "parameters", explode)
    response = get(url, asgi)
    assert response.status_code == expected
    response.close()


@pytest.mark.contains_errors
def test_one_broken_observer_leaves_the_others(monkeypatch, entries):
    """An error in the look at the session does not cost the entry about the request."""
    monkeypatch.setattr(observers.sessions, "observe", lambda *args: 1 // 0)
    Client().get("/nothing/")
    assert [e["event.name"] for e in told(entries)] == ["api_client_error"]


# ── clients that leave ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_client_that_disconnects_cancels_the_view(entries):
    """Cancellation passes through the middleware untouched, and leaves no scope behind."""
    seen = []

    class Watching(ASGIHandler):
        async def get_response_async(self, request):
            try:
                return await super().get_response_async(request)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    async def serve():
        requested = False

        async def receive():
            nonlocal requested
            if not requested:
                requested = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.sleep(0.05)
            return {"type": "http.disconnect"}

        async def send(message):
            seen.append(message["type"])

        await Watching()(AsyncRequestFactory()._base_scope(path="/waits/"), receive, send)
        assert current() is None

    asyncio.run(serve())
    assert seen == ["cancelled"]
    assert told(entries) == []


@pytest.mark.parametrize("url", ["/page/", "/boom/", "/nothing/"])
def test_no_scope_is_left_behind(url):
    """After a request, whatever became of it, nothing is current."""
    get(url, asgi=False)
    assert current() is None


@pytest.mark.django_db(transaction=True)
def test_requests_in_one_event_loop_are_not_mixed(entries):
    """Concurrent requests each have a scope of their own."""

    async def many():
        await asyncio.gather(*(AsyncClient().get(f"/nothing/{i}/") for i in range(20)))

    asyncio.run(many())
    assert sorted(e["url.path"] for e in told(entries)) == sorted(f"/nothing/{i}/" for i in range(20))
    assert len({e["seclog.request.id"] for e in told(entries)}) == 20


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.parametrize(
    "header",
    [
        "User-Agent",
        "X-Request-Id",
        "X-Forwarded-For",
        "Forwarded",
        "Traceparent",
        "Cookie",
        "Host",
        "X-Anything",
    ],
)
@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, "\x00\x01\x1b[31m\x7f\x9b", "\xed\xa0\x80", "\xff\xfe", "", "a\tb"],
    ids=["100kB", "controls", "surrogate", "not utf-8", "empty", "tab"],
)
@pytest.mark.django_db(transaction=True)
def test_hostile_headers(entries, header, value, asgi):
    """Any header of any content: one entry, no exception, no control character in it."""
    response = get("/nothing/", asgi, headers={header: value})
    assert response.status_code in {400, 404}
    [entry] = told(entries)
    assert (entry["event.name"], entry["url.path"]) == ("api_client_error", "/nothing/")
    text = json.dumps(entry)
    assert text.isascii() and len(text) < 65536
    assert not any(UNSAFE.search(value) for value in entry.values() if isinstance(value, str))


@pytest.mark.parametrize(
    "quoted",
    ["%ed%a0%80", "%00", "%0a%0d", "%ff", "%c3%a4", "%e2%80%ae", "a" * 20_000, "%2e%2e/%2e%2e/etc/passwd"],
)
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.django_db(transaction=True)
def test_hostile_paths(entries, quoted, asgi):
    """Lone surrogates, null bytes, line breaks, wrong UTF-8: one entry with what was asked for."""
    get(f"/nothing/{quoted}", asgi)
    [entry] = told(entries)
    assert entry["url.path"].startswith("/nothing/")
    assert not UNSAFE.search(entry["url.path"])


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    agent=st.text(max_size=50),
    query=st.binary(max_size=100),
    body=st.binary(max_size=100),
    kind=st.text(max_size=40),
)
def test_any_request_is_one_entry(entries, agent, query, body, kind):
    """Whatever a request consists of, it is one entry and the app's own answer."""
    assume(tool_of(agent) is None)
    entries.clear()
    environ = RequestFactory()._base_environ(
        PATH_INFO="/nothing/",
        QUERY_STRING=query.decode("latin-1"),
        HTTP_USER_AGENT=agent,
        CONTENT_TYPE=kind,
        CONTENT_LENGTH=str(len(body)),
        REQUEST_METHOD="POST",
        **{"wsgi.input": BytesIO(body)},
    )
    response = WSGIHandler()(environ, lambda status, headers: None)
    assert response.status_code == 404
    assert [e["event.name"] for e in told(entries)] == ["api_client_error"]
