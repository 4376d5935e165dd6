"""Family 6 in Django: whatever layer refuses, it is one entry that says who, what and why."""

import asyncio
from secrets import token_urlsafe

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model, logout
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseForbidden, HttpResponseRedirect
from django.test import AsyncClient, Client
from django.urls import path
from django.views import View

from conftest import whole

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def deny(request):
    raise PermissionDenied


async def adeny(request):
    if not await (await request.auser()).ahas_perm("djangoapp.refund_order"):
        raise PermissionDenied
    return HttpResponse()


async def aplain(request):
    return HttpResponse(status=403)


class Refund(PermissionRequiredMixin, View):
    permission_required = "djangoapp.refund_order"

    def post(self, request):
        return HttpResponse()


def leave(request):
    logout(request)
    return HttpResponseRedirect("/login/")


urlpatterns = [
    path("login/", lambda request: HttpResponse("login"), name="login"),
    path("deny/", deny),
    path("adeny/", adeny),
    path("aplain/", aplain),
    path("plain/", lambda request: HttpResponseForbidden()),
    path("basic/", lambda request: HttpResponse(status=401)),
    path("members/", login_required(lambda request: HttpResponse())),
    path("elsewhere/", login_required(lambda request: HttpResponse(), login_url="/sign-in/")),
    path("refund/", permission_required("djangoapp.refund_order")(lambda request: HttpResponse())),
    path("refund/raise/", permission_required("djangoapp.refund_order", raise_exception=True)(deny)),
    path("refund/class/", Refund.as_view()),
    path("signup/", lambda request: HttpResponseRedirect("/login/")),
    path("leave/", leave),
    path("post/", lambda request: HttpResponse()),
    path("admin/", admin.site.urls),
]


class DenyingMiddleware:
    """An app's middleware that refuses by itself."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        raise PermissionDenied


class SwallowingMiddleware:
    """An app's middleware that turns exceptions into a friendly page."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        return HttpResponse("sorry", status=200)


@pytest.fixture
def bob():
    return get_user_model().objects.create_user("bob", "bob@example.org", token_urlsafe(12))


@pytest.fixture
def as_bob(client, bob, entries):
    client.force_login(bob)
    entries.clear()
    return client


def told(entries):
    """Return what was recorded, without what belongs to the start of the process and to the session."""
    return [e for e in entries if not e["event.name"].startswith(("session_", "sys_"))]


def only(entries):
    [entry] = told(entries)
    return entry


def decisive(entry):
    return (
        entry["event.name"],
        entry.get("reason"),
        entry.get("user.name"),
        entry["http.response.status_code"],
    )


def test_permission_denied_in_a_view(as_bob, bob, entries):
    """An exception from a view is a denial with user, route, view and status; the user was looked up for it."""
    as_bob.get("/deny/", headers={"User-Agent": "Firefox"})
    assert whole(only(entries)) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Access denied",
        "reason": "permission_denied",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(bob.pk),
        "user.name": "bob",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": "deny/",
        "url.path": "/deny/",
        "http.response.status_code": 403,
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.view": f"{__name__}.deny",
    }


@pytest.mark.parametrize(("url", "reason", "status"), [("/plain/", "forbidden", 403), ("/basic/", "unauthorized", 401)])
def test_a_plain_status_is_a_denial(as_bob, entries, url, reason, status):
    """A view that answers 403 or 401 raises nothing and is recorded all the same."""
    as_bob.get(url)
    assert decisive(only(entries)) == ("authz_fail", reason, "bob", status)


def test_a_401_for_nobody_asks_for_credentials(client, entries):
    """A 401 without a user is not a denial of somebody but a missing login."""
    client.get("/basic/")
    entry = only(entries)
    assert decisive(entry) == ("authz_unauthenticated", "unauthorized", None, 401)
    assert entry["severity"] == "low"


def test_a_denial_by_a_middleware(settings, as_bob, entries):
    """A middleware that refuses is seen, though no view was found."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.DenyingMiddleware"]
    as_bob.get("/post/")
    entry = only(entries)
    assert decisive(entry) == ("authz_fail", "permission_denied", "bob", 403)
    assert "http.route" not in entry


def test_a_denial_that_a_middleware_swallows(settings, as_bob, entries):
    """A refusal that is shown as a friendly page with status 200 is still a refusal."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SwallowingMiddleware"]
    as_bob.get("/deny/")
    assert decisive(only(entries)) == ("authz_fail", "permission_denied", "bob", 200)


@pytest.mark.parametrize("url", ["/refund/raise/", "/refund/class/"])
def test_the_missing_permission_is_named(as_bob, entries, url):
    """A denial says which permission was asked for."""
    as_bob.post(url)
    entry = only(entries)
    assert decisive(entry) == ("authz_fail", "permission_denied", "bob", 403)
    assert entry["seclog.permission"] == "djangoapp.refund_order"


def test_a_permission_check_alone_tells_nothing(as_bob, bob, entries):
    """Templates and menus ask for permissions all the time: only a refused request counts."""
    assert not bob.has_perm("djangoapp.refund_order")
    as_bob.get("/post/")
    assert told(entries) == []


def test_redirect_to_the_login_of_somebody_logged_in(as_bob, entries):
    """`permission_required` sends a user without the permission to the login: that is a denial."""
    as_bob.get("/refund/")
    entry = only(entries)
    assert decisive(entry) == ("authz_fail", "redirected_to_login", "bob", 302)
    assert entry["seclog.permission"] == "djangoapp.refund_order"


@pytest.mark.parametrize("url", ["/members/", "/elsewhere/", "/admin/auth/user/"])
def test_redirect_to_the_login_of_nobody(client, entries, url):
    """A visitor who has to log in first is a denial of low severity, wherever the login is."""
    client.get(url)
    entry = only(entries)
    assert decisive(entry) == ("authz_unauthenticated", "login_required", None, 302)
    assert entry["severity"] == "low"


def test_the_admin_sends_a_customer_to_its_login(as_bob, entries):
    """The admin redirects a user who is not staff to its own login."""
    as_bob.get("/admin/auth/user/")
    assert decisive(only(entries)) == ("authz_fail", "redirected_to_login", "bob", 302)


def test_a_form_that_ends_at_the_login_is_no_denial(client, as_bob, entries):
    """After signing up or out, the login is simply the next page; so it is for the slash that was missing."""
    client.post("/signup/")
    client.get("/leave/")
    Client().get("/login")
    assert [e["event.name"] for e in entries if e["event.name"].startswith("authz")] == []


def test_csrf_failure_says_why(bob, entries):
    """A refused form is recorded as an attempt at cross-site request forgery, with the reason, once."""
    Client(enforce_csrf_checks=True).post("/post/", {"a": 1})
    entry = only(entries)
    assert decisive(entry) == ("malicious_csrf", "cookie_missing", None, 403)
    assert entry["message"] == "CSRF check failed: CSRF cookie not set."
    assert entry["url.path"] == "/post/"


def test_csrf_failure_names_the_foreign_origin(entries):
    """A form sent from another site says from which."""
    Client(enforce_csrf_checks=True).post("/post/", headers={"Origin": "https://evil.example"})
    entry = only(entries)
    assert (entry["event.name"], entry["reason"]) == ("malicious_csrf", "origin_mismatch")
    assert "https://evil.example" in entry["message"]


@pytest.mark.parametrize(
    ("url", "reason", "permission"),
    [
        ("/adeny/", "permission_denied", "djangoapp.refund_order"),
        ("/aplain/", "forbidden", None),
        ("/deny/", "permission_denied", None),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_denials_under_asgi(bob, entries, url, reason, permission):
    """Async views are refused like sync ones; the user is awaited where nobody had asked for it."""

    async def visit():
        client = AsyncClient()
        await client.aforce_login(bob)
        entries.clear()
        await client.get(url)

    asyncio.run(visit())
    entry = only(entries)
    assert decisive(entry) == ("authz_fail", reason, "bob", 403)
    assert entry.get("seclog.permission") == permission


def test_nobody_is_looked_up_without_a_session(client, entries, django_assert_num_queries):
    """A denial of a visitor without a session cookie makes no query."""
    with django_assert_num_queries(0):
        client.get("/deny/")
    assert "user.id" not in only(entries)


def test_an_ignored_path_tells_nothing(settings, entries):
    """Requests below SECLOG["ignore_paths"] cause no request-level entry."""
    Client().get("/healthz/deep")
    assert told(entries) == []
