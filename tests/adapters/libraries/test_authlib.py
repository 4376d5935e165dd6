"""Authlib: a provider in Flask with its tokens, and the callback of a login elsewhere."""

import time
from secrets import token_urlsafe

import pytest

pytest.importorskip("authlib")

from authlib.integrations.flask_client import OAuth
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from flask import Flask

from seclog import api
from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import authlib as integration

SECRET = token_urlsafe()
PASSWORD = token_urlsafe()


class Client(ClientMixin):
    def get_client_id(self):
        return "shop"

    def get_default_redirect_uri(self):
        return "https://shop.example/"

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return True

    def check_client_secret(self, client_secret):
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method != "none"

    def check_grant_type(self, grant_type):
        return True

    def check_response_type(self, response_type):
        return True


class User:
    def get_user_id(self):
        return 7


class Token(TokenMixin):
    def __init__(self, values):
        self.values, self.user_id = values, 7
        self.access_token = values["access_token"]
        self.ends, self.revoked = time.time() + values["expires_in"], False

    def check_client(self, client):
        return True

    def get_scope(self):
        return self.values["scope"]

    def get_expires_in(self):
        return self.values["expires_in"]

    def is_expired(self):
        return time.time() > self.ends

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return User()


STORE = {}


def find(key):
    return next((t for t in STORE.values() if key in (t.access_token, t.values.get("refresh_token"))), None)


class Password(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def authenticate_user(self, username, password):
        return User() if password == PASSWORD else None


class Refresh(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        return find(refresh_token)

    def authenticate_user(self, credential):
        return User()

    def revoke_old_credential(self, credential):
        credential.revoked = True


class Revocation(RevocationEndpoint):
    def query_token(self, token_string, token_type_hint):
        return find(token_string)

    def revoke_token(self, token, request):
        token.revoked = True


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return find(token_string)


@pytest.fixture
def client(entries):
    STORE.clear()
    app = Flask(__name__)
    app.config.update(SECRET_KEY="x" * 32, OAUTH2_REFRESH_TOKEN_GENERATOR=True)
    server = AuthorizationServer(
        app,
        query_client=lambda key: Client() if key == "shop" else None,
        save_token=lambda token, request: STORE.update({token["access_token"]: Token(token)}),
    )
    server.register_grant(Password)
    server.register_grant(Refresh)
    server.register_endpoint(Revocation)
    protector = ResourceProtector()
    protector.register_token_validator(Validator())
    oauth = OAuth(app)
    oauth.register(
        "away",
        client_id="a",
        client_secret="b",
        authorize_url="https://a.example/",
        access_token_url="https://a.example/t",
    )

    app.add_url_rule("/oauth", "oauth", server.create_token_response, methods=["POST"])
    app.add_url_rule("/revoke", "revoke", lambda: server.create_endpoint_response("revocation"), methods=["POST"])

    @app.get("/me")
    @protector("profile")
    def me():
        api.emit("sensitive_read")
        return {}

    @app.get("/admin")
    @protector("admin")
    def admin():
        return {}

    @app.get("/callback")
    def callback():
        oauth.away.authorize_access_token()
        return {}

    SecLog(app)
    integration.connect(app)
    integration.connect(app)
    client = app.test_client()
    client.get("/start")
    entries.clear()
    return client


def ask(client, path="/oauth", secret=SECRET, **form):
    return client.post(path, data=form, auth=("shop", secret), base_url="https://localhost").json


def issue(client):
    return ask(client, grant_type="password", username="alice", password=PASSWORD, scope="profile")


def fetch(client, token, path="/me"):
    return client.get(path, headers={"Authorization": f"Bearer {token}"}, base_url="https://localhost")


def told(entries):
    return [(e["event.name"], e.get("reason")) for e in entries if not e["event.name"].startswith(("api_", "authz_un"))]


def test_an_issued_token_is_told(client, entries):
    """Whose it is, for which client, what it may do, until when."""
    token = issue(client)
    [entry] = entries
    assert entry["event.name"] == "authn_token_created"
    assert (entry["user.id"], entry["seclog.client.id"], entry["seclog.token.scope"]) == ("7", "shop", "profile")
    assert entry["seclog.token.id_hash"]
    assert entry["seclog.token.expires"].endswith("Z")
    assert not [value for key, value in token.items() if key.endswith("_token") and value in str(entries)]


def test_a_refresh_and_the_old_token_again(client, entries):
    """A refresh is one entry; the token that it replaced, used again, is reuse."""
    token = issue(client)
    entries.clear()
    ask(client, grant_type="refresh_token", refresh_token=token["refresh_token"])
    fetch(client, token["access_token"])
    assert told(entries) == [("authn_token_refreshed", None), ("authn_token_reuse", "revoked")]
    assert entries[0]["seclog.token.new_id_hash"] != entries[0]["seclog.token.id_hash"]
    assert entries[1]["user.id"] == "7"


def test_refused_tokens_are_told(client, entries):
    """Unknown, expired, too narrow."""
    token = issue(client)["access_token"]
    entries.clear()
    fetch(client, token)
    fetch(client, token_urlsafe())
    fetch(client, token, "/admin")
    STORE[token].ends = 0
    fetch(client, token)
    assert told(entries) == [
        ("sensitive_read", None),
        ("authn_token_invalid", "unknown_token"),
        ("authz_fail", "insufficient_scope"),
        ("authn_token_expired", "expired"),
    ]
    assert entries[0]["user.id"] == "7"
    denied = next(e for e in entries if e["event.name"] == "authz_fail")
    assert (denied["seclog.permission"], denied["user.id"]) == ("admin", "7")


def test_a_revocation_is_told(client, entries):
    """By the client that gives it back."""
    token = issue(client)["access_token"]
    entries.clear()
    ask(client, "/revoke", token=token)
    [entry] = entries
    assert (entry["event.name"], entry["user.id"], entry["seclog.client.id"]) == ("authn_token_revoked", "7", "shop")


def test_a_refused_client_and_grant_are_told(client, entries):
    """A wrong client secret is a failed login of the client, a wrong refresh token an invalid token."""
    ask(client, grant_type="refresh_token", secret="wrong", refresh_token="x")
    ask(client, grant_type="refresh_token", refresh_token=token_urlsafe())
    assert told(entries) == [("authn_login_fail", "invalid_client"), ("authn_token_invalid", "invalid_grant")]


def test_a_failed_callback_is_told(client, entries):
    """The provider said no; and a state that is not ours is an attack."""
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    client.get("/callback?error=access_denied")
    client.get("/callback?code=1&state=forged")
    assert told(entries)[0] == ("authn_login_fail", "access_denied")
    assert ("malicious_csrf", "state_mismatch") in told(entries)
