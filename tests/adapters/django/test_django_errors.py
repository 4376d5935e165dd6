"""Family 7 in Django: a request that goes wrong is one entry, with the place of the error and without its secrets."""

import asyncio
import json
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import Http404, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.views.decorators.http import require_POST

from conftest import whole
from seclog.adapters._attack_tools import TOKENS, tool_of
from seclog.adapters._exceptions import fingerprint

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def boom(request):
    secret = token_urlsafe()
    raise ValueError(f"cannot use {secret}")


async def aboom(request):
    raise ValueError


def in_a_library(request):
    return JsonResponse({"x": object()})


def missing(request):
    raise Http404


def suspicious(request):
    raise SuspiciousOperation("evil")


def bad(request):
    raise BadRequest("no")


def form(request):
    assert request.POST is not None and request.FILES is not None
    return HttpResponse(status=400)


def body(request):
    assert request.body is not None
    return HttpResponse(status=422)


urlpatterns = [
    path("boom/", boom),
    path("aboom/", aboom),
    path("library/", in_a_library),
    path("missing/", missing),
    path("suspicious/", suspicious),
    path("bad/", bad),
    path("form/", form),
    path("body/", body),
    path("unread/", lambda request: HttpResponse(status=400)),
    path("down/", lambda request: HttpResponse(status=503)),
    path("slow/", lambda request: HttpResponse(status=429, headers={"Retry-After": "30"})),
    path("odd/", lambda request: HttpResponse(status=499)),
    path("post-only/", require_POST(lambda request: HttpResponse())),
    path("page/", lambda request: HttpResponse("page")),
]


class SorryMiddleware:
    """An app's middleware that answers exceptions itself."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        return HttpResponse("sorry", status=int(request.GET["as"]))


@pytest.fixture
def browser():
    """A client that gets the error page instead of the exception, as a browser does."""
    return Client(raise_request_exception=False)


def told(entries):
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


def only(entries):
    [entry] = told(entries)
    return entry


def params(entries):
    return only(entries)["seclog.params_censored"]


# ── exceptions ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unhandled_exception(browser, entries):
    """An exception that nobody handles is recorded with class, place and fingerprint, and without its text."""
    browser.get("/boom/?page=2", headers={"User-Agent": "Firefox"})
    entry = only(entries)
    location = entry["seclog.error.location"]
    assert location.startswith(f"{__name__}:boom:")
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "app_unhandled_exception",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "high",
        "message": "Unhandled exception",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": "boom/",
        "url.path": "/boom/",
        "http.response.status_code": 500,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "error.type": "ValueError",
        "seclog.error.fingerprint": entry["seclog.error.fingerprint"],
        "seclog.error.location": location,
        "seclog.params_censored": {"query": {"page": "2"}},
    }


def test_the_same_error_has_the_same_fingerprint(browser, entries):
    """The fingerprint depends on class and place, not on the text, the user or the time."""
    browser.get("/boom/")
    browser.get("/boom/")
    browser.get("/library/")
    first, second, other = (e["seclog.error.fingerprint"] for e in told(entries))
    assert first == second != other
    assert len(first) == 16 and int(first, 16) >= 0


def test_an_error_inside_a_library_names_the_apps_own_line(browser, entries):
    """The place of an error is where the app called the library, which is where it is looked for."""
    browser.get("/library/")
    entry = only(entries)
    assert entry["error.type"] == "TypeError"
    assert entry["seclog.error.location"].startswith(f"{__name__}:in_a_library:")


def test_an_exception_without_a_traceback_has_a_fingerprint():
    """An exception that was never raised can be told all the same."""
    assert fingerprint(ValueError("a")) == fingerprint(ValueError("b")) != fingerprint(KeyError("a"))


@pytest.mark.django_db(transaction=True)
def test_an_unhandled_exception_under_asgi(entries):
    """Async views are recorded like sync ones."""
    asyncio.run(AsyncClient(raise_request_exception=False).get("/aboom/"))
    entry = only(entries)
    assert (entry["event.name"], entry["error.type"]) == ("app_unhandled_exception", "ValueError")
    assert entry["seclog.error.location"].startswith(f"{__name__}:aboom:")


@pytest.mark.parametrize("url", ["/boom/", "/aboom/"])
@pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
@pytest.mark.django_db(transaction=True)
def test_an_exception_that_leaves_django(settings, entries, url, asgi):
    """With DEBUG_PROPAGATE_EXCEPTIONS there is no response: the exception is recorded and goes on."""
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    with pytest.raises(ValueError):
        if asgi:
            asyncio.run(AsyncClient().get(url))
        else:
            Client().get(url)
    entry = only(entries)
    assert (entry["event.name"], entry["http.response.status_code"]) == ("app_unhandled_exception", 500)


@pytest.mark.parametrize(("status", "name"), [(500, "api_server_error"), (409, "api_client_error"), (200, None)])
def test_an_exception_that_a_middleware_answers(settings, browser, entries, status, name):
    """An exception with an answer of the app's own is handled: the status decides, and the class is named."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SorryMiddleware"]
    browser.get(f"/boom/?as={status}")
    assert [(e["event.name"], e["error.type"]) for e in told(entries)] == ([(name, "ValueError")] if name else [])


# ── statuses ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "name", "reason", "status"),
    [
        ("/nothing/", "api_client_error", "not_found", 404),
        ("/missing/", "api_client_error", "not_found", 404),
        ("/bad/", "api_client_error", "bad_request", 400),
        ("/odd/", "api_client_error", None, 499),
        ("/suspicious/", "input_validation_fail", "suspicious_operation", 400),
        ("/down/", "api_server_error", "service_unavailable", 503),
        ("/post-only/", "http_method_unexpected", None, 405),
        ("/slow/", "excess_rate_limit_exceeded", None, 429),
    ],
)
def test_each_status_is_one_entry(browser, entries, url, name, reason, status):
    """Every kind of failure has its own type, and there is one entry a request."""
    browser.get(url)
    entry = only(entries)
    assert (entry["event.name"], entry.get("reason"), entry["http.response.status_code"]) == (
        name,
        reason,
        status,
    )
    assert entry["url.path"] == url and entry["client.address"] == "127.0.0.1"


def test_a_client_error_as_a_whole(client, entries):
    """A 404 is recorded with what was asked for."""
    client.get("/nothing/", headers={"User-Agent": "Firefox"})
    assert whole(only(entries)) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "api_client_error",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "low",
        "message": "Request failed",
        "reason": "not_found",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "url.path": "/nothing/",
        "http.response.status_code": 404,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.params_censored": {},
        "error.type": "django.urls.exceptions.Resolver404",
    }


def test_an_error_names_the_user(client, entries):
    """Who caused an error is worth a query, if there is a session to ask."""
    bob = get_user_model().objects.create_user("bob", "bob@example.org", token_urlsafe())
    client.force_login(bob)
    entries.clear()
    client.get("/nothing/")
    assert only(entries)["user.name"] == "bob"


def test_a_server_error_without_an_exception_has_a_type(browser, entries):
    """OpenTelemetry's error.type is the status where there is nothing better."""
    browser.get("/down/")
    assert only(entries)["error.type"] == "503"


def test_a_wrong_host_is_a_low_client_error(browser, entries):
    """Scanners that try addresses send wrong hosts all day: recorded, and not as refused input."""
    browser.get("/page/", headers={"Host": "evil.example"})
    entry = only(entries)
    assert (entry["event.name"], entry["reason"], entry["severity"]) == (
        "api_client_error",
        "disallowed_host",
        "low",
    )


def test_an_unexpected_method_says_which_are_allowed(client, entries):
    """A 405 says what would have been allowed."""
    client.get("/post-only/")
    assert only(entries)["seclog.allowed_methods"] == "POST"


@pytest.mark.parametrize(
    "url", ["/static/old.css", "/favicon.ico", "/apple-touch-icon-120x120.png", "/healthz/nothing"]
)
def test_noise_tells_nothing(settings, client, entries, url):
    """A missing style sheet, what browsers ask for by themselves, and ignored paths are nobody's error."""
    settings.STATIC_URL = "/static/"
    client.get(url)
    assert told(entries) == []


def test_climbing_out_of_the_static_files_is_no_noise(settings, client, entries):
    """A 404 below STATIC_URL that tries to leave it is recorded."""
    settings.STATIC_URL = "/static/"
    client.get("/static/../../etc/passwd")
    assert only(entries)["http.response.status_code"] == 404


def test_a_request_that_goes_well_tells_nothing_and_asks_nothing(client, entries, django_assert_num_queries):
    """No entry and no query."""
    with django_assert_num_queries(0):
        client.get("/page/")
    assert told(entries) == []


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_parameters_are_censored(client, entries):
    """Names stay, values that are secret do not."""
    password, token = token_urlsafe(), token_urlsafe()
    client.post(f"/form/?token={token}&q=shoes&q=hats", {"user": "bob", "password": password})
    assert params(entries) == {
        "query": {"token": "[redacted]", "q": ["shoes", "hats"]},
        "form": {"user": "bob", "password": "[redacted]"},
    }
    assert password not in json.dumps(entries) and token not in json.dumps(entries)


def test_a_form_that_nobody_read_stays_unread(client, entries):
    """Only what the view parsed is told; a body is never read for the sake of the record."""
    response = client.post("/unread/", {"a": "b"})
    assert params(entries) == {}
    assert "_body" not in response.wsgi_request.__dict__ and not response.wsgi_request._read_started


def test_a_json_body_that_was_read(client, entries):
    """A JSON body is told as data, censored."""
    secret = token_urlsafe()
    client.post("/body/", {"name": "x", "login": {"password": secret}}, content_type="application/json")
    assert params(entries) == {"body": {"name": "x", "login": {"password": "[redacted]"}}}


@pytest.mark.parametrize(
    ("sent", "kind", "shown"),
    [
        (b"{not json", "application/json", {"body": "[not JSON: 9 bytes]"}),
        (b"\xff\xfe\x00", "application/problem+json", {"body": "[not JSON: 3 bytes]"}),
        (b"[" * 60_000, "application/json", {"body": "[not JSON: 60000 bytes]"}),
        (b'"' + b"x" * 100_000 + b'"', "application/json", {"body": "[JSON of 100002 bytes]"}),
        (b"<a/>", "application/xml", {}),
        (b"", "application/json", {}),
    ],
)
def test_a_body_that_is_not_what_it_says(client, entries, sent, kind, shown):
    """A body that is broken, too large or of another kind is one entry, without its content."""
    client.generic("POST", "/body/", sent, content_type=kind)
    assert params(entries) == shown


def test_a_broken_multipart_body(browser, entries):
    """A form whose parts cannot be found is one entry."""
    browser.generic("POST", "/form/", b"nothing", content_type="multipart/form-data; boundary=x")
    browser.generic("POST", "/form/", b"nothing", content_type="multipart/form-data")
    assert [(e["event.name"], e["http.response.status_code"]) for e in told(entries)] == [("api_client_error", 400)] * 2


def test_many_and_long_parameters_are_bounded(client, entries):
    """Thousands of parameters or megabytes of text leave a bounded entry that says what is missing."""
    client.post("/form/", {f"p{i}": "v" for i in range(900)})
    form_shown = params(entries)["form"]
    assert len(form_shown) == 51 and form_shown["…"] == "850 more"
    entries.clear()
    client.post("/form/", f"long={'x' * 100_000}&{'n' * 1000}=v", content_type="application/x-www-form-urlencoded")
    long, name = params(entries)["form"].items()
    assert long == ("long", "[100000 characters]")
    assert name[0].startswith("n" * 128) and len(name[0]) < 200
    entries.clear()
    client.get("/missing/?" + "&".join(f"q{i}=1" for i in range(5000)))
    assert len(params(entries)["query"]) <= 51 or isinstance(params(entries)["query"], str)


def test_an_upload_is_told_by_name_and_size(client, entries):
    """Of 50 MB only name, size and declared type are told."""
    upload = SimpleUploadedFile("big.bin", b"\0" * (50 << 20), "application/octet-stream")
    client.post("/form/", {"title": "x", "file": upload})
    assert params(entries) == {
        "form": {"title": "x"},
        "files": [{"name": "big.bin", "size": 50 << 20, "type": "application/octet-stream"}],
    }


def test_too_many_fields(settings, browser, entries):
    """Django's own limits are refused input, and asking for the parameters does not raise them again."""
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
    browser.post("/form/?" + "a=1&" * 20, {f"p{i}": "v" for i in range(20)})
    entry = only(entries)
    assert (entry["event.name"], entry["reason"]) == ("input_validation_fail", "too_many_fields_sent")


# ── attack tools ─────────────────────────────────────────────────────────────────────────────────────────────────

SQLMAP = "sqlmap/1.8.4#stable (https://sqlmap.org)"


@pytest.mark.parametrize("url", ["/page/", "/missing/", "/boom/", "/nothing/"])
def test_an_attack_tool_is_the_one_event_of_its_request(browser, entries, url):
    """A scanner that names itself outranks whatever else its request did; what went wrong stays readable."""
    browser.get(url, headers={"User-Agent": SQLMAP})
    entry = only(entries)
    assert (entry["event.name"], entry["seclog.tool"]) == ("malicious_attack_tool", "sqlmap")
    assert entry["user_agent.original"] == SQLMAP
    assert ("error.type" in entry) == (url != "/page/")


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "curl/8.5.0",
        "python-requests/2.32.3",
        "Go-http-client/2.0",
        "HydraBrowser/1.0 (Vega; Linux)",
        "",
        None,
    ],
)
def test_browsers_and_honest_programs_are_no_tools(agent):
    """Neither browsers nor search engines nor libraries are taken for attack tools."""
    assert tool_of(agent) is None


@pytest.mark.parametrize(
    ("agent", "tool"),
    [
        (SQLMAP, "sqlmap"),
        ("Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)", "nikto"),
        ("Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)", "nmap"),
        ("Fuzz Faster U Fool v2.1.0", "ffuf"),
        ("Mozilla/5.0 zgrab/0.x", "zgrab"),
        ("Mozilla/4.0 (Hydra)", "hydra"),
        ("Nuclei - Open-source project (github.com/projectdiscovery/nuclei)", "nuclei"),
    ],
)
def test_tools_are_known_by_their_own_words(agent, tool):
    """Each tool is known by what it really sends."""
    assert tool_of(agent) == tool_of(agent.upper()) == tool


def test_the_memory_of_user_agents_is_bounded():
    """Clients choose user agents: what is remembered of them may not grow with them."""
    from seclog.adapters import _attack_tools

    for i in range(3000):
        tool_of(f"agent {i}")
    assert tool_of("x" * 100_000 + "sqlmap") is None
    assert len(_attack_tools._memo) <= 2048
    assert _attack_tools.known_tool("") == ""  # no user agent is nothing to look at, ever
    assert max(map(len, _attack_tools._memo)) <= 512
    assert all(token == token.lower() for token in TOKENS)
