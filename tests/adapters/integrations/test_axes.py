"""django-axes: a lock is told once, attempts while locked are failures, each with the refused request."""

from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model, views
from django.urls import path

from conftest import whole
from neighbours.told import names, only

pytest.importorskip("axes")

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [path("login/", views.LoginView.as_view(template_name="form.html"))]


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice", password=token_urlsafe())


@pytest.fixture
def fail(client, alice, entries, settings):
    settings.AXES_ENABLED = True
    settings.AXES_FAILURE_LIMIT = 3
    settings.AXES_COOLOFF_TIME = 1
    settings.AXES_LOCKOUT_PARAMETERS = ["username"]
    settings.AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", *settings.AUTHENTICATION_BACKENDS]

    def fail(name="alice"):
        entries.clear()
        return client.post("/login/", {"username": name, "password": token_urlsafe()})

    return fail


def test_a_lock_is_told_once_with_the_refused_request(fail, alice, entries):
    """The third failure locks: the failure, the lock and the 429 are one entry each."""
    fail()
    assert names(entries) == ["authn_login_fail"]
    fail()
    assert fail().status_code == 429
    assert sorted(names(entries)) == ["authn_login_fail", "authn_login_lock", "excess_rate_limit_exceeded"]
    entry = only(entries, "authn_login_lock")
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_login_lock",
        "event.id": "<id>",
        "event.outcome": entry["event.outcome"],
        "severity": entry["severity"],
        "message": entry["message"],
        "reason": "too_many_failures",
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": "login/",
        "url.path": "/login/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.limit": 3,
        "seclog.window": 3600,
    }
    refused = only(entries, "excess_rate_limit_exceeded")
    assert (refused["seclog.limit"], refused["seclog.window"]) == (3, 3600)


def test_an_attempt_while_locked_is_a_failure(fail, entries):
    """Whoever is locked is not locked again."""
    for _ in range(3):
        fail()
    fail()
    assert names(entries) == ["authn_login_fail", "excess_rate_limit_exceeded"]
    assert only(entries, "authn_login_fail")["reason"] == "locked"


def test_the_name_of_nobody_is_a_pseudonym(fail, entries):
    """People type their password into the name field."""
    typed = token_urlsafe()
    for _ in range(3):
        fail(typed)
    assert "user.id" not in only(entries, "authn_login_lock")
    assert typed not in str(entries)


def test_an_unlock_is_told(fail, alice, entries):
    """An administrator's reset names the account."""
    from axes.utils import reset

    for _ in range(3):
        fail()
    entries.clear()
    reset(username="alice")
    entry = only(entries, "authn_login_unlock")
    assert (entry["seclog.target.id"], entry["seclog.target.name"]) == (str(alice.pk), "alice")
