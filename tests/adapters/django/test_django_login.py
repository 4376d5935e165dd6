"""Family 1 in Django: every way in and every refusal is one entry, and never an extra query."""

from secrets import token_urlsafe

import pytest
from conftest import whole
from django.contrib.auth import authenticate, get_user_model, views
from django.http import HttpResponse
from django.urls import path

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [
    path("login/", views.LoginView.as_view(template_name="form.html")),
    path("logout/", views.LogoutView.as_view()),
    path("", lambda request: HttpResponse("home")),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password):
    return get_user_model().objects.create_user("alice", "alice@example.org", password)


def test_login_success_names_the_user(client, alice, password, entries):
    """A login through the form is recorded with user, address, route and method."""
    client.post("/login/", {"username": "alice", "password": password}, headers={"User-Agent": "Firefox"})
    [entry] = [e for e in entries if e["event.name"] == "authn_login_success"]
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_login_success",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Login success",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "login/",
        "url.path": "/login/",
        "seclog.request.id": "<request id>",
        "seclog.session.id_hash": "<session>",
        "seclog.duration_ms": "<ms>",
        "seclog.auth.method": "password",
        "seclog.auth.backend": "django.contrib.auth.backends.ModelBackend",
    }


def test_wrong_password_is_told_from_unknown_user_without_a_query(client, alice, entries, django_assert_num_queries):
    """A failed login knows whether the user exists, from the query that the login itself makes."""
    with django_assert_num_queries(1):
        client.post("/login/", {"username": "alice", "password": token_urlsafe()})
    with django_assert_num_queries(1):
        client.post("/login/", {"username": "nobody", "password": token_urlsafe()})
    known, unknown = [e for e in entries if e["event.name"] == "authn_login_fail"]
    assert (known["reason"], known["user.id"], known["user.name"]) == ("invalid_credentials", str(alice.pk), "alice")
    assert unknown["reason"] == "unknown_user"
    assert unknown["user.name"].startswith("unknown:") and "user.id" not in unknown


def test_authenticate_without_a_request_is_recorded(alice, entries):
    """A failure in a job has no request, and is recorded all the same."""
    authenticate(username="alice", password=token_urlsafe())
    [entry] = entries
    assert (entry["event.name"], entry["user.name"]) == ("authn_login_fail", "alice")
    assert "client.address" not in entry
