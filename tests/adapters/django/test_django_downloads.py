"""Family 5 in Django: what leaves the app is one entry, with name and bytes, also when the client leaves first."""

import asyncio
import io
from pathlib import Path
from secrets import token_bytes, token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.generic import ListView, TemplateView
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

import seclog
from conftest import whole
from djangoapp.models import Order
from seclog.adapters.django.downloads import file_name

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

ATTACHED = {"Content-Disposition": 'attachment; filename="orders.csv"'}
CHUNKS = [b"1" * 10, b"2" * 20, b"3" * 30]


class Broken(Exception):
    """What goes wrong in the middle of a stream."""


def chunks():
    yield from CHUNKS


async def achunks():
    for chunk in CHUNKS:
        yield chunk


def broken():
    yield CHUNKS[0]
    raise Broken


def ranged(request):
    return HttpResponse(b"z" * 5, status=206, headers={**ATTACHED, "Content-Range": "bytes 0-4/100"})


async def astream(request):
    return StreamingHttpResponse(achunks(), headers=ATTACHED)


@seclog.sensitive("patients", id_kwarg="pk")
def patient(request, pk):
    return HttpResponse("p")


@seclog.sensitive("patients", id_kwarg="pk")
async def apatient(request, pk):
    return HttpResponse("p")


@seclog.sensitive("patients", action="delete", id_kwarg="pk")
def erase(request, pk):
    return HttpResponse("gone")


@seclog.export("orders", rows=lambda response: 3, format="csv")
def export(request):
    return HttpResponse("1\n2\n3\n", headers=ATTACHED)


@seclog.export("orders", rows=3, format="csv")
async def aexport(request):
    return HttpResponse("1\n2\n3\n")


@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(request, pk):
    return HttpResponse(status=402 if pk == 13 else 200)


@seclog.sensitive("salaries")
class Salaries(View):
    def get(self, request):
        return HttpResponse("s")


@seclog.sensitive("salaries")
class AsyncSalaries(View):
    async def get(self, request):
        return HttpResponse("s")


@method_decorator(seclog.sensitive("orders", count=2), name="dispatch")
class Orders(ListView):
    model = Order
    template_name = "form.html"


class Report(TemplateView):
    template_name = "form.html"

    @seclog.sensitive("reports")
    def get(self, request, *args, **kwargs):
        return super().get(request, *args, **kwargs)


@seclog.sensitive("api-salaries")
class SalariesApi(APIView):
    def get(self, request):
        return Response([])


class OrdersApi(ViewSet):
    @seclog.export("orders", rows=lambda response: len(response.data), format="json")
    def list(self, request):
        return Response([1, 2])


urlpatterns = [
    path("attached/", lambda request: HttpResponse(b"a,b\n", headers=ATTACHED)),
    path(
        "file/",
        lambda request: FileResponse(io.BytesIO(b"z" * 5000), as_attachment=True, filename="päck.zip"),
    ),
    path("inline/", lambda request: FileResponse(Path(__file__).open("rb"))),  # noqa: SIM115 - Django closes it
    path("stream/", lambda request: StreamingHttpResponse(chunks(), headers=ATTACHED)),
    path("astream/", astream),
    path("broken/", lambda request: StreamingHttpResponse(broken(), headers=ATTACHED)),
    path("events/", lambda request: StreamingHttpResponse(chunks(), content_type="text/event-stream")),
    path("accel/", lambda request: HttpResponse(headers={"X-Accel-Redirect": "/protected/a%20b.pdf"})),
    path("sendfile/", lambda request: HttpResponse(headers={"X-Sendfile": "/srv/files/c.pdf"})),
    path("records/<int:pk>/erase/", erase),
    path("ranged/", ranged),
    path("unchanged/", lambda request: HttpResponseNotModified(headers=ATTACHED)),
    path("static/app.js", lambda request: FileResponse(io.BytesIO(b"x"))),
    path("page/", lambda request: HttpResponse("page")),
    path("patients/<int:pk>/", lambda request, pk: HttpResponse("p", status=404 if pk == 404 else 200)),
    path("patients/<int:pk>/told/", patient),
    path("apatients/<int:pk>/", apatient),
    path("export/", export),
    path("aexport/", aexport),
    path("refund/<int:pk>/", refund),
    path("salaries/", Salaries.as_view()),
    path("asalaries/", AsyncSalaries.as_view()),
    path("orders/", Orders.as_view()),
    path("report/", Report.as_view()),
    path("api/salaries/", SalariesApi.as_view()),
    path("api/orders/", OrdersApi.as_view({"get": "list"})),
]


def told(entries):
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


def download(entries):
    [entry] = [e for e in told(entries) if e["event.name"] == "data_download"]
    return entry


def decisive(entry):
    return entry["event.outcome"], entry.get("reason"), entry["file.name"], entry.get("seclog.bytes")


# ── downloads ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_attachment_is_a_download(client, entries):
    """A response with an attachment is recorded with the file's name, its bytes, the user and the path."""
    bob = get_user_model().objects.create_user("bob", "bob@example.org", token_urlsafe())
    client.force_login(bob)
    entries.clear()
    client.get("/attached/", headers={"User-Agent": "Firefox"})
    [entry] = told(entries)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "data_download",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "low",
        "message": "File downloaded",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(bob.pk),
        "user.name": "bob",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": "attached/",
        "url.path": "/attached/",
        "http.response.status_code": 200,
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.target.id": "/attached/",
        "file.name": "orders.csv",
        "seclog.bytes": 4,
    }


def test_a_file_response_keeps_its_file(entries):
    """A FileResponse is measured by its length: its stream is not touched, so the server can still use sendfile."""
    environ = RequestFactory()._base_environ(PATH_INFO="/file/", **{"wsgi.file_wrapper": lambda file, size: file})
    sent = WSGIHandler()(environ, lambda status, headers: None)
    assert isinstance(sent, io.BytesIO)
    assert len(sent.read()) == 5000
    sent.close()
    assert decisive(download(entries)) == ("success", None, "päck.zip", 5000)


def test_an_inline_file_is_a_download(client, entries):
    """A file that is shown in the browser leaves the app as well."""
    b"".join(client.get("/inline/").streaming_content)
    assert decisive(download(entries))[2:] == (Path(__file__).name, Path(__file__).stat().st_size)


def test_a_stream_is_told_when_it_ends(client, entries):
    """The bytes of a generator are known at its end, and the entry still names the request."""
    response = client.get("/stream/")
    assert told(entries) == []
    assert b"".join(response.streaming_content) == b"".join(CHUNKS)
    entry = download(entries)
    assert decisive(entry) == ("success", None, "orders.csv", 60)
    assert (entry["url.path"], entry["http.response.status_code"], entry["http.route"]) == (
        "/stream/",
        200,
        "stream/",
    )


def test_a_client_that_goes_away_is_told(entries):
    """Under WSGI the server closes what the client did not take: a failure with the bytes so far."""
    response = WSGIHandler()(RequestFactory()._base_environ(PATH_INFO="/stream/"), lambda status, headers: None)
    taken = iter(response)
    next(taken), next(taken)
    response.close()
    assert decisive(download(entries)) == ("failure", "aborted", "orders.csv", 10)


def test_a_stream_that_nobody_reads_is_told(entries):
    """A client that leaves before the first byte took nothing, and that is what the entry says."""
    WSGIHandler()(RequestFactory()._base_environ(PATH_INFO="/stream/"), lambda status, headers: None).close()
    assert decisive(download(entries)) == ("failure", "aborted", "orders.csv", 0)


def test_a_stream_that_breaks_is_told(client, entries):
    """An exception in the generator goes on to the server, and the entry says what it was."""
    with pytest.raises(Broken):
        b"".join(client.get("/broken/").streaming_content)
    entry = download(entries)
    assert decisive(entry) == ("failure", "error", "orders.csv", 10)
    assert entry["error.type"] == "Broken"


def test_an_async_stream_is_counted(entries):
    """Async iterators are counted like sync ones."""

    async def read():
        response = await AsyncClient().get("/astream/")
        return [chunk async for chunk in response.streaming_content]

    assert asyncio.run(read()) == CHUNKS
    assert decisive(download(entries)) == ("success", None, "orders.csv", 60)


def test_a_client_that_disconnects_under_asgi_is_told(entries):
    """Under ASGI the request's task is cancelled while it sends: a failure with the bytes so far."""

    async def serve():
        gone = asyncio.Event()
        requested = False

        async def receive():
            nonlocal requested
            if not requested:
                requested = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message.get("body") == CHUNKS[1]:
                gone.set()
                await asyncio.sleep(60)

        scope = AsyncRequestFactory()._base_scope(path="/astream/")
        await ASGIHandler()(scope, receive, send)

    asyncio.run(serve())
    assert decisive(download(entries)) == ("failure", "aborted", "orders.csv", 10)


@pytest.mark.parametrize(("url", "name"), [("/accel/", "a b.pdf"), ("/sendfile/", "c.pdf")])
def test_a_file_that_the_web_server_sends(client, entries, url, name):
    """A file handed over to nginx or Apache is a download whose size only they know."""
    client.get(url)
    assert decisive(download(entries)) == ("success", None, name, None)


def test_a_part_of_a_file(client, entries):
    """A range request says which part left."""
    client.get("/ranged/")
    entry = download(entries)
    assert decisive(entry) == ("success", None, "orders.csv", 5)
    assert entry["seclog.file.range"] == "bytes 0-4/100"


@pytest.mark.parametrize("url", ["/unchanged/", "/static/app.js", "/page/", "/events/"])
def test_no_download(settings, client, entries, url):
    """What is not data tells nothing: an unchanged file, a script, a page, a stream of events."""
    settings.STATIC_URL = "/static/"
    response = client.get(url)
    if response.streaming:
        b"".join(response.streaming_content)
    assert told(entries) == []


def test_a_head_request_downloads_nothing(client, entries):
    """HEAD asks for the headers only."""
    client.head("/attached/")
    assert told(entries) == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.csv"', "a b.csv"),
        ("attachment; filename=plain.txt; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("attachment; filename*=ISO-8859-1''%A3.txt", "£.txt"),
        ("=?utf-8?b?YXR0YWNobWVudDsgZmlsZW5hbWU9IuKCrC50eHQi?=", "€.txt"),
        ("attachment", None),
        ('attachment; filename="' + "x" * 100_000, None),
        ("attachment; filename*=no-such-charset''%FF", "ÿ"),
        ("attachment; filename*0=a; filename*1=b.txt", "ab.txt"),
    ],
)
def test_file_names(header, name):
    """Names are read as RFC 6266 says; a header without a usable one gives none."""
    assert file_name(header) == name


# ── sensitive paths and decorators ───────────────────────────────────────────────────────────────────────────────


def test_a_read_below_a_sensitive_path(client, entries):
    """A successful read below SECLOG["sensitive_paths"] is recorded with the prefix and the path."""
    client.get("/patients/7/")
    [entry] = told(entries)
    assert entry["event.name"] == "sensitive_read"
    assert (entry["seclog.target.type"], entry["seclog.target.id"]) == ("/patients/", "/patients/7/")
    assert (entry["seclog.count"], entry["http.route"]) == (1, "patients/<int:pk>/")


def test_only_successful_reads_are_reads(client, entries):
    """Neither a write nor a record that does not exist is a read."""
    client.post("/patients/7/")
    client.get("/patients/404/")
    assert [e["event.name"] for e in told(entries)] == ["api_client_error"]


def test_a_decorator_below_a_sensitive_path_tells_once(client, entries):
    """Where a decorator told more precisely, the path tells nothing again."""
    client.get("/patients/7/told/")
    [entry] = told(entries)
    assert (entry["event.name"], entry["seclog.target.type"]) == ("sensitive_read", "patients")
    assert entry["seclog.target.id"] == "7"


@pytest.mark.parametrize(
    ("url", "name", "target"),
    [
        ("/apatients/7/", "sensitive_read", "patients"),
        ("/salaries/", "sensitive_read", "salaries"),
        ("/asalaries/", "sensitive_read", "salaries"),
        ("/orders/", "sensitive_read", "orders"),
        ("/report/", "sensitive_read", "reports"),
        ("/records/7/erase/", "sensitive_delete", "patients"),
        ("/aexport/", "data_export", "orders"),
        ("/api/salaries/", "sensitive_read", "api-salaries"),
        ("/api/orders/", "data_export", "orders"),
        ("/refund/5/", "authz_admin", "order"),
    ],
)
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.django_db(transaction=True)
def test_decorators_on_every_kind_of_view(client, entries, url, name, target, asgi):
    """Functions, classes and DRF's views, sync and async, under WSGI and ASGI: one entry each."""
    response = asyncio.run(AsyncClient().get(url)) if asgi else client.get(url)
    assert response.status_code == 200
    [entry] = told(entries)
    assert (entry["event.name"], entry["event.outcome"], entry["seclog.target.type"]) == (
        name,
        "success",
        target,
    )
    assert entry["url.path"] == url


@pytest.mark.parametrize(
    "url", ["/patients/7/", "/patients/7/told/", "/apatients/7/", "/asalaries/", "/refund/5/", "/stream/"]
)
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.django_db(transaction=True)
def test_the_user_is_named_though_the_view_never_asked(entries, url, asgi):
    """Who took data is worth a query, in sync and async views alike."""
    bob = get_user_model().objects.create_user("bob", "bob@example.org", token_urlsafe())

    async def visit():
        client = AsyncClient()
        await client.aforce_login(bob)
        entries.clear()
        response = await client.get(url)
        if response.streaming:
            list(response.streaming_content)

    if asgi:
        asyncio.run(visit())
    else:
        client = Client()
        client.force_login(bob)
        entries.clear()
        response = client.get(url)
        if response.streaming:
            b"".join(response.streaming_content)
    [entry] = told(entries)
    assert entry["user.name"] == "bob"


def test_an_export_counts_its_rows_and_is_a_download_too(client, entries):
    """An export with an attachment tells both: what was taken, and which file left."""
    client.get("/export/")
    export, download = told(entries)
    assert (export["event.name"], export["seclog.count"], export["seclog.format"]) == (
        "data_export",
        3,
        "csv",
    )
    assert (download["event.name"], download["seclog.bytes"]) == ("data_download", 6)


def test_a_failed_admin_action_says_so(client, entries):
    """An action that the view refused is recorded as a failure, beside the status's own entry."""
    client.get("/refund/13/")
    action, error = told(entries)
    assert (action["event.name"], action["event.outcome"], action["seclog.target.id"]) == (
        "authz_admin",
        "failure",
        "13",
    )
    assert (error["event.name"], error["http.response.status_code"]) == ("api_client_error", 402)


def test_the_bytes_of_a_stream_are_not_changed(rf):
    """Any chunks come out as they went in."""
    from seclog.adapters.django.downloads import observe
    from seclog.adapters.django.request import RequestScope

    content = [token_bytes(n) for n in (0, 1, 4096)]
    request = rf.get("/x")
    response = StreamingHttpResponse(iter(content), headers=ATTACHED)
    observe(RequestScope(request), request, response)
    assert list(response.streaming_content) == content
