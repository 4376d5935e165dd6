"""The middleware: one request-level entry a request, complete, in sync and async stacks, for two microseconds."""

import asyncio
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework import serializers
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

import seclog
from conftest import whole
from seclog.adapters._scope import PRECEDENCE
from seclog.adapters.django import middleware
from seclog.adapters.django.middleware import SecurityEventMiddleware
from seclog.adapters.django.request import RequestScope
from seclog.events import Event, EventType
from seclog.events.titles import TITLES

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Never(SimpleRateThrottle):
    scope = "never"
    rate = "0/hour"

    def get_cache_key(self, request, view):
        return "nobody"


class ColourSerializer(serializers.Serializer):
    colour = serializers.ChoiceField(["red"])


class Colour(APIView):
    authentication_classes = []
    permission_classes = []

    def post(self, request):
        ColourSerializer(data=request.data).is_valid(raise_exception=True)


class Throttled(Colour):
    throttle_classes = [Never]


def deny(request):
    raise PermissionDenied


def suspicious(request):
    raise SuspiciousOperation


urlpatterns = [
    path("page/", lambda request: HttpResponse("page")),
    path("deny/", deny),
    path("members/", login_required(deny)),
    path("suspicious/", suspicious),
    path("down/", lambda request: HttpResponse(status=503)),
    path("colour/", Colour.as_view()),
    path("throttled/", Throttled.as_view()),
    path("patients/<int:pk>/", lambda request, pk: HttpResponse("p")),
]


class SyncOnly:
    """An app's middleware of the old kind: under ASGI Django runs it, and all below it, in a thread."""

    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


def told(entries):
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


# ── whole entries ────────────────────────────────────────────────────────────────────────────────────────


def view(name):
    return {"seclog.view": f"{__name__}.{name}"}


WHOLE = [
    (
        "GET", "/members/", "authz_unauthenticated", "low", "login_required", 302,
        view("deny"),
    ),
    (
        "POST", "/page/", "malicious_csrf", "medium", "cookie_missing", 403,
        {"message": "CSRF check failed: CSRF cookie not set."},
    ),
    (
        "GET", "/colour/", "http_method_unexpected", "low", None, 405,
        {"seclog.allowed_methods": "POST, OPTIONS"},
    ),
    (
        "POST", "/throttled/", "excess_rate_limit_exceeded", "medium", None, 429,
        view("Throttled") | {"seclog.limit": 0, "seclog.window": 3600, "seclog.throttle": "never", "seclog.retry_after": 3600},
    ),
    (
        "POST", "/colour/", "input_validation_discrete_fail", "medium", "invalid_choice", 400,
        view("Colour")
        | {"seclog.field": "colour", "seclog.fields": ["colour"], "seclog.codes": ["invalid_choice"]},
    ),
    (
        "GET", "/suspicious/", "input_validation_fail", "medium", "suspicious_operation", 400,
        {"error.type": "django.core.exceptions.SuspiciousOperation", "seclog.params_censored": {}},
    ),
    (
        "GET", "/down/", "api_server_error", "high", "service_unavailable", 503,
        {"error.type": "503", "seclog.params_censored": {}},
    ),
    (
        "GET", "/patients/7/", "sensitive_read", "low", None, 200,
        {"seclog.target.type": "/patients/", "seclog.target.id": "/patients/7/", "seclog.count": 1},
    ),
]  # fmt: skip
OUTCOMES = {"sensitive_read": "success"}


@pytest.mark.parametrize(
    ("method", "url", "name", "severity", "reason", "status", "facts"), WHOLE, ids=[row[2] for row in WHOLE]
)
def test_each_type_as_a_whole(entries, method, url, name, severity, reason, status, facts):
    """Every request-level type is written with the context of its request and its own facts, and nothing else."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    sent = {"data": {"colour": token_urlsafe()}} if url == "/colour/" else {}
    getattr(client, method.lower())(url, **sent, headers={"User-Agent": FIREFOX})
    [entry] = told(entries)
    expected = {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": name,
        "event.id": "<id>",
        "event.outcome": OUTCOMES.get(name, "failure"),
        "severity": severity,
        "message": TITLES[name],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": FIREFOX,
        "http.request.method": method,
        "http.route": "patients/<int:pk>/" if "patients" in url else url[1:],
        "url.path": url,
        "http.response.status_code": status,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        **({"reason": reason} if reason else {}),
        **facts,
    }
    assert whole(entry) == expected


def test_an_attack_tool_as_a_whole(client, entries):
    """A request of a known attack tool."""
    client.get("/page/", headers={"User-Agent": "sqlmap/1.8"})
    [entry] = told(entries)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "malicious_attack_tool",
        "event.id": "<id>",
        "event.outcome": "unknown",
        "severity": "medium",
        "message": "Attack tool at work",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "user_agent.original": "sqlmap/1.8",
        "http.request.method": "GET",
        "http.route": "page/",
        "url.path": "/page/",
        "http.response.status_code": 200,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.tool": "sqlmap",
    }


# ── one entry a request ──────────────────────────────────────────────────────────────────────────────────


def test_the_most_telling_event_wins(rf):
    """Of several events of one request the one of the highest precedence is kept, the first among equals."""
    types = [
        EventType.API_CLIENT_ERROR,
        EventType.API_SERVER_ERROR,
        EventType.APP_UNHANDLED_EXCEPTION,
        EventType.HTTP_METHOD_UNEXPECTED,
        EventType.INPUT_VALIDATION_FAIL,
        EventType.EXCESS_RATE_LIMIT_EXCEEDED,
        EventType.AUTHZ_UNAUTHENTICATED,
        EventType.AUTHZ_FAIL,
        EventType.MALICIOUS_CSRF,
    ]
    assert len(types) == len(PRECEDENCE)
    for order in (types, types[::-1]):
        scope = RequestScope(rf.get("/"))
        for event_type in order:
            scope.propose(Event(type=event_type))
        assert scope.candidate[1].type is EventType.MALICIOUS_CSRF
    scope.propose(Event(type=EventType.MALICIOUS_ATTACK_TOOL))
    assert scope.candidate[1].type is EventType.MALICIOUS_CSRF


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/deny/", "/down/", "/suspicious/", "/colour/", "/nothing/"])
def test_a_sync_middleware_under_asgi(settings, entries, url):
    """Where Django hops into a thread in mid-stack, the request is still one, with one entry."""
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], f"{__name__}.SyncOnly", *settings.MIDDLEWARE[1:]]
    asyncio.run(AsyncClient().get(url))
    [entry] = told(entries)
    assert (entry["url.path"], entry["client.address"]) == (url, "127.0.0.1")


def test_an_actor_within_a_request_does_not_hide_it(settings, entries, rf):
    """Work under a named actor inside a view belongs to the request."""

    def get_response(request):
        with seclog.actor("import:orders"):
            seclog.emit("sensitive_update")
        return HttpResponse(status=404)

    SecurityEventMiddleware(get_response)(rf.get("/imports/"))
    update, error = told(entries)
    assert (update["seclog.actor"], update["url.path"]) == ("import:orders", "/imports/")
    assert (error["event.name"], error["seclog.request.id"]) == (
        "api_client_error",
        update["seclog.request.id"],
    )


# ── the start, and the price ─────────────────────────────────────────────────────────────────────────────


def test_a_process_starts_once(monkeypatch, entries):
    """The start of a process is one entry, however many handlers it builds."""
    monkeypatch.setattr(middleware, "_started", None)
    SecurityEventMiddleware(lambda request: HttpResponse())
    SecurityEventMiddleware(lambda request: HttpResponse())
    [entry] = [e for e in entries if e["event.name"] == "sys_startup"]
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "sys_startup",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Application started",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "host.name": entry["host.name"],
        "process.pid": entry["process.pid"],
        "seclog.framework": "django",
    }


def test_no_query_for_a_logged_in_user(client, entries, django_assert_num_queries):
    """A request with a session that nobody asks for makes no query."""
    client.force_login(get_user_model().objects.create_user("bob", "bob@example.org", token_urlsafe()))
    entries.clear()
    with django_assert_num_queries(0):
        client.get("/page/")
    assert told(entries) == []
