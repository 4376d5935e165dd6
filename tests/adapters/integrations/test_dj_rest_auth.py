"""dj-rest-auth: logins with and without a session, resets and changes by its serializers."""

import re
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.http import HttpResponse
from django.urls import include, path

from neighbours.told import names, only

pytest.importorskip("dj_rest_auth")

from dj_rest_auth.app_settings import api_settings

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [
    path("auth/", include("dj_rest_auth.urls")),
    path("reset/<uid>/<token>/", lambda request, uid, token: HttpResponse(), name="password_reset_confirm"),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password, entries):
    alice = get_user_model().objects.create_user("alice", "alice@example.org", password)
    entries.clear()
    return alice


@pytest.fixture
def post(client, alice, entries, commit):
    def post(url, **data):
        entries.clear()
        with commit():
            return client.post(url, data, content_type="application/json")

    return post


def test_a_login_with_a_session_is_told_once(post, password, alice, entries):
    """Django's signal tells it, the token is told besides."""
    post("/auth/login/", username="alice", password=password)
    assert names(entries) == ["authn_login_success", "authn_token_created"]


def test_a_login_without_a_session_is_told_too(post, password, alice, entries, monkeypatch):
    """Nothing else would."""
    monkeypatch.setattr(api_settings, "SESSION_LOGIN", False)
    post("/auth/login/", username="alice", password=password)
    assert sorted(names(entries)) == ["authn_login_success", "authn_token_created"]
    assert only(entries, "authn_login_success")["user.id"] == str(alice.pk)


def test_a_failed_login_is_told_once(post, entries):
    """By Django's signal."""
    post("/auth/login/", username="alice", password=token_urlsafe())
    assert names(entries).count("authn_login_fail") == 1


def test_a_reset_from_request_to_end(post, alice, entries):
    """The serializers go past Django's view."""
    post("/auth/password/reset/", email="alice@example.org")
    entry = only(entries, "authn_password_reset_request")
    assert (entry["seclog.target.id"], entry["seclog.known"]) == (str(alice.pk), True)
    uid, token = re.search(r"/reset/([^/]+)/([^/]+)/", mail.outbox[-1].body).groups()
    new = token_urlsafe()
    post("/auth/password/reset/confirm/", uid=uid, token="abc-def", new_password1=new, new_password2=new)
    entry = only(entries, "authn_password_reset_fail")
    assert (entry["seclog.target.id"], entry["reason"]) == (str(alice.pk), "expired_link")
    post("/auth/password/reset/confirm/", uid=uid, token=token, new_password1=new, new_password2=new)
    assert "authn_password_reset_complete" in names(entries)
    assert "authn_password_change" not in names(entries)
    assert token not in str(entries)


def test_a_reset_for_nobody(post, entries):
    """Same answer, another entry."""
    post("/auth/password/reset/", email="nobody@example.org")
    assert only(entries, "authn_password_reset_request")["reason"] == "unknown_user"


def test_a_change_and_refused_ones(client, post, alice, password, entries, monkeypatch):
    """A wrong old password, a weak new one, and a change."""
    monkeypatch.setattr(api_settings, "OLD_PASSWORD_FIELD_ENABLED", True)
    client.force_login(alice)
    new = token_urlsafe()
    post("/auth/password/change/", old_password="wrong", new_password1=new, new_password2=new)
    assert only(entries, "authn_password_change_fail")["reason"] == "wrong_password"
    post("/auth/password/change/", old_password=password, new_password1=new, new_password2="other")
    assert only(entries, "authn_password_change_fail")["reason"] == "password_mismatch"
    post("/auth/password/change/", old_password=password, new_password1=new, new_password2=new)
    assert only(entries, "authn_password_change")["seclog.method"] == "self"
