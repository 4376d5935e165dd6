"""django-oauth-toolkit: tokens through their whole life, and clients that fail."""

import base64
import datetime
from secrets import token_urlsafe

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.urls import include, path
from django.utils import timezone

from conftest import whole
from neighbours.told import names, only

pytest.importorskip("oauth2_provider")

from oauth2_provider.decorators import protected_resource
from oauth2_provider.models import get_access_token_model, get_application_model

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls(__name__),
    pytest.mark.filterwarnings("ignore:The OAuth 2.0 resource owner password:DeprecationWarning"),
]


@protected_resource()
def api(request):
    return HttpResponse("data")


urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")), path("api/", api)]


@pytest.fixture
def password():
    return token_urlsafe(12)


@pytest.fixture
def alice(password):
    return get_user_model().objects.create_user("alice", password=password)


@pytest.fixture
def application(alice):
    return lambda grant: _application(grant, alice)


def _application(grant, owner):
    application = get_application_model()(
        name="mobile", client_type="confidential", authorization_grant_type=grant, user=owner
    )
    application.raw_secret = application.client_secret
    application.save()
    return application


@pytest.fixture
def ask(client, entries, commit):
    def ask(application, url="/o/token/", secret=None, **data):
        entries.clear()
        pair = f"{application.client_id}:{secret or application.raw_secret}".encode()
        basic = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        with commit():
            response = client.post(url, data, headers=basic)
        return response.json() if response.content else {}

    return ask


@pytest.fixture
def grant(application, ask, password, entries):
    app = application("password")
    return app, ask(app, grant_type="password", username="alice", password=password)


def test_a_client_gets_a_token(application, ask, entries):
    """Client credentials: no user, one token, named with the client and its scope."""
    app = application("client-credentials")
    token = ask(app, grant_type="client_credentials", scope="read")
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_token_created",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": entry["severity"],
        "message": entry["message"],
        "service.name": "shop",
        "deployment.environment.name": "test",
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.route": "o/token/",
        "http.response.status_code": 200,
        "url.path": "/o/token/",
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.token.id_hash": entry["seclog.token.id_hash"],
        "seclog.token.type": "oauth2_access",
        "seclog.token.scope": "read",
        "seclog.token.expires": entry["seclog.token.expires"],
        "seclog.client.id": app.client_id,
        "seclog.client.name": "mobile",
        "seclog.grant_type": "client_credentials",
    }
    assert token["access_token"] not in str(entries)


def test_a_wrong_secret_is_a_failed_login_of_the_client(application, ask, entries):
    """And the refused request."""
    app = application("client-credentials")
    ask(app, secret="wrong", grant_type="client_credentials")
    assert names(entries) == ["authn_login_fail", "authz_unauthenticated"]
    entry = only(entries, "authn_login_fail")
    assert (entry["user.name"], entry["reason"]) == (app.client_id, "invalid_client_secret")
    assert entry["seclog.auth.method"] == "client_credentials"


def test_an_unknown_client_is_a_pseudonym(application, ask, entries):
    """A made-up client id may be anything."""
    app = application("client-credentials")
    app.client_id = "nobodys"
    ask(app, grant_type="client_credentials")
    assert only(entries, "authn_login_fail")["reason"] == "unknown_client"
    assert "nobodys" not in str(entries)


def test_the_password_grant_is_a_login(grant, alice, entries):
    """It sends no signal."""
    assert names(entries) == ["authn_login_success", "authn_token_created"]
    assert only(entries, "authn_login_success")["user.id"] == str(alice.pk)
    assert only(entries, "authn_token_created")["seclog.target.id"] == str(alice.pk)


def test_a_refresh_is_one_entry_and_a_second_one_is_reuse(grant, ask, alice, entries):
    """Rotation revokes and creates rows: told as one refresh."""
    app, tokens = grant
    ask(app, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    [entry] = entries
    assert (entry["event.name"], entry["user.id"]) == ("authn_token_refreshed", str(alice.pk))
    assert entry["seclog.token.id_hash"] != entry["seclog.token.new_id_hash"]
    ask(app, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    reuse = only(entries, "authn_token_reuse")
    assert (reuse["user.id"], reuse["seclog.token.id_hash"]) == (str(alice.pk), entry["seclog.token.id_hash"])


def test_a_made_up_refresh_token_is_invalid(grant, ask, entries):
    """Nobody was given it."""
    app, _ = grant
    ask(app, grant_type="refresh_token", refresh_token=token_urlsafe())
    assert only(entries, "authn_token_invalid")["reason"] == "unknown_token"


def test_a_revocation_is_told_by_the_same_hash(grant, ask, alice, entries):
    """By the library's own end point: the access token and the refresh token bound to it."""
    created = only(entries, "authn_token_created")["seclog.token.id_hash"]
    app, tokens = grant
    ask(app, "/o/revoke_token/", token=tokens["access_token"])
    assert names(entries) == ["authn_token_revoked"] * 2
    hashes = {entry["seclog.token.type"]: entry["seclog.token.id_hash"] for entry in entries}
    assert hashes["oauth2_access"] == created and set(hashes) == {"oauth2_access", "oauth2_refresh"}


def test_refused_access_tokens(client, grant, entries):
    """A made-up one, and an expired one; a good one tells nothing."""
    _, tokens = grant
    entries.clear()
    assert client.get("/api/", headers={"Authorization": f"Bearer {tokens['access_token']}"}).status_code == 200
    assert entries == []
    client.get("/api/", headers={"Authorization": f"Bearer {token_urlsafe()}"})
    assert only(entries, "authn_token_invalid")["reason"] == "unknown_token"
    entries.clear()
    get_access_token_model().objects.update(expires=timezone.now() - datetime.timedelta(hours=1))
    client.get("/api/", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert "user.id" in only(entries, "authn_token_expired")


def test_an_invalid_code_is_told(application, ask, entries):
    """A code that was used, or never given."""
    app = application("authorization-code")
    app.redirect_uris = "https://example.org/back"
    app.save()
    ask(app, grant_type="authorization_code", code=token_urlsafe(), redirect_uri="https://example.org/back")
    assert only(entries, "authn_token_invalid")["reason"] == "invalid_code"


def test_a_token_made_by_hand_is_told(alice, entries, commit):
    """By an app's own code or the admin."""
    entries.clear()
    later = timezone.now() + datetime.timedelta(hours=1)
    with commit():
        get_access_token_model().objects.create(user=alice, token=token_urlsafe(), expires=later, scope="read write")
    assert only(entries, "authn_token_created")["seclog.token.scope"] == "read write"
