"""simplejwt: the logins and tokens that send no signal."""

import datetime
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.urls import path

from conftest import whole
from neighbours.told import names

pytest.importorskip("rest_framework_simplejwt")

from rest_framework import permissions
from rest_framework.views import APIView, Response
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView, TokenRefreshView, TokenVerifyView

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Me(APIView):
    authentication_classes = [JWTAuthentication]
    permission_classes = [permissions.IsAuthenticated]

    def get(self, request):
        return Response({"me": request.user.username})


urlpatterns = [
    path("token/", TokenObtainPairView.as_view()),
    path("token/refresh/", TokenRefreshView.as_view()),
    path("token/revoke/", TokenBlacklistView.as_view()),
    path("token/verify/", TokenVerifyView.as_view()),
    path("me/", Me.as_view()),
]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password):
    return get_user_model().objects.create_user("alice", "alice@example.org", password)


@pytest.fixture
def post(client, alice, entries):
    def post(url, **data):
        entries.clear()
        return client.post(url, data, content_type="application/json").json()

    return post


@pytest.fixture
def pair(post, password, entries):
    tokens = post("/token/", username="alice", password=password)
    entries.clear()
    return tokens


def test_a_login_and_its_tokens_are_told(post, alice, password, entries, django_capture_on_commit_callbacks):
    """A token pair is a login and one issued token, named by a keyed hash."""
    tokens = post("/token/", username="alice", password=password)
    login, created = entries
    assert whole(login) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_login_success",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": login["message"],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "user.id": str(alice.pk),
        "user.name": "alice",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": "token/",
        "url.path": "/token/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.auth.method": "password",
        "seclog.auth.backend": "django.contrib.auth.backends.ModelBackend",
        "seclog.token.type": "jwt_refresh",
    }
    assert created["event.name"] == "authn_token_created"
    assert created["user.id"] == created["seclog.target.id"] == str(alice.pk)
    assert created["seclog.token.type"] == "jwt_refresh"
    assert created["seclog.token.scope"] == "all"
    assert created["seclog.token.expires"].endswith("Z")
    assert created["seclog.token.id_hash"]
    assert tokens["refresh"] not in str(entries)


def test_a_wrong_password_is_one_failure(post, entries):
    """The library fails through Django's signal: one entry, and the refused request."""
    post("/token/", username="alice", password=token_urlsafe())
    assert names(entries) == ["authn_login_fail", "authz_unauthenticated"]


def test_an_inactive_user_is_refused_without_a_signal(post, alice, password, entries, settings):
    """A right password that the library's own rule refuses sends no signal."""
    alice.is_active = False
    alice.save()
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    post("/token/", username="alice", password=password)
    assert names(entries) == ["authn_login_fail", "authz_unauthenticated"]
    assert entries[0]["reason"] == "inactive"


def test_a_refresh_is_one_entry_that_links_old_and_new(post, pair, alice, entries):
    """A rotation is one refresh: neither a revocation nor a new token besides."""
    new = post("/token/refresh/", refresh=pair["refresh"])
    [entry] = entries
    assert entry["event.name"] == "authn_token_refreshed"
    assert entry["user.id"] == str(alice.pk)
    assert entry["seclog.token.id_hash"] != entry["seclog.token.new_id_hash"]
    assert new["refresh"] not in str(entries)


def test_a_rotated_token_used_again_is_reuse(post, pair, alice, entries):
    """A refresh with a token that was given up is what a thief does, or the robbed."""
    post("/token/refresh/", refresh=pair["refresh"])
    spent = entries[0]["seclog.token.id_hash"]
    post("/token/refresh/", refresh=pair["refresh"])
    assert names(entries) == ["authn_token_reuse", "authz_unauthenticated"]
    assert entries[0]["user.id"] == str(alice.pk)
    assert entries[0]["seclog.token.id_hash"] == spent
    assert entries[0]["seclog.token.type"] == "jwt_refresh"


def test_a_blacklisted_token_is_revoked(post, pair, alice, entries, django_capture_on_commit_callbacks):
    """A logout by the blacklist view revokes the token."""
    with django_capture_on_commit_callbacks(execute=True):
        post("/token/revoke/", refresh=pair["refresh"])
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_token_revoked", "blacklisted")
    assert entry["user.id"] == entry["seclog.target.id"] == str(alice.pk)


@pytest.mark.parametrize("url", ["/me/", "/token/refresh/", "/token/verify/"])
def test_an_expired_token_is_told(url, client, post, alice, entries):
    """An expired token is told as such, wherever it is brought."""
    token = (AccessToken if url == "/me/" else RefreshToken).for_user(alice)
    token.set_exp(lifetime=-datetime.timedelta(seconds=5))
    entries.clear()
    if url == "/me/":
        client.get(url, headers={"Authorization": f"Bearer {token}"})
    else:
        post(url, refresh=str(token), token=str(token))
    assert names(entries) == ["authn_token_expired", "authz_unauthenticated"]
    assert entries[1]["reason"] == "token_not_valid"
    assert entries[0]["user.id"] == str(alice.pk)


def test_a_forged_token_is_invalid(client, alice, entries):
    """A changed signature, and text that is no token."""
    token = str(AccessToken.for_user(alice))
    entries.clear()
    client.get("/me/", headers={"Authorization": f"Bearer {token[:-6]}AAAAAA"})
    client.get("/me/", headers={"Authorization": "Bearer x.y.z"})
    told = [(e["event.name"], e["reason"]) for e in entries if e["event.name"].startswith("authn")]
    assert told == [("authn_token_invalid", "bad_signature"), ("authn_token_invalid", "malformed")]
    assert [e["event.name"] for e in entries].count("authz_unauthenticated") == 2


def test_a_token_of_the_wrong_type_is_invalid(client, pair, entries):
    """A refresh token does not open what wants an access token."""
    client.get("/me/", headers={"Authorization": f"Bearer {pair['refresh']}"})
    assert (entries[0]["event.name"], entries[0]["reason"]) == ("authn_token_invalid", "wrong_type")


def test_a_token_of_an_inactive_user_is_refused(client, alice, pair, entries):
    """The token is good, its user is not."""
    alice.is_active = False
    alice.save()
    entries.clear()
    client.get("/me/", headers={"Authorization": f"Bearer {pair['access']}"})
    assert (entries[0]["event.name"], entries[0]["reason"]) == ("authn_token_invalid", "inactive")
    assert entries[0]["seclog.target.id"] == str(alice.pk)


def test_a_header_with_too_many_words_is_malformed(client, entries):
    """As with the framework's own tokens."""
    client.get("/me/", headers={"Authorization": "Bearer a b"})
    assert (entries[0]["event.name"], entries[0]["reason"]) == ("authn_token_invalid", "malformed")


def test_a_logout_everywhere_is_told_token_by_token(alice, pair, entries, commit):
    """`bulk_create` sends no signal."""
    other = RefreshToken.for_user(alice)
    entries.clear()
    with commit():
        BlacklistedToken.objects.bulk_create([BlacklistedToken(token=row) for row in OutstandingToken.objects.all()])
    assert names(entries) == ["authn_token_revoked"] * 2
    assert str(other) not in str(entries)


def test_a_good_token_tells_nothing(client, pair, entries):
    """An ordinary request with a token is no event."""
    assert client.get("/me/", headers={"Authorization": f"Bearer {pair['access']}"}).status_code == 200
    assert entries == []
