"""Flask-JWT-Extended: tokens issued, refreshed, refused; whom they stand for."""

import datetime
from secrets import token_urlsafe

import pytest

pytest.importorskip("flask_jwt_extended")

import jwt
from flask import Flask, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
)

from seclog import api
from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_jwt_extended as integration

SECRET = token_urlsafe(40)


@pytest.fixture
def client(entries):
    app = Flask(__name__)
    app.config.update(SECRET_KEY=SECRET, JWT_SECRET_KEY=SECRET)
    manager = JWTManager(app)
    revoked = set()
    manager.token_in_blocklist_loader(lambda header, claims: claims["jti"] in revoked)

    @app.post("/login")
    def login():
        name = request.json["username"]
        return {"access": create_access_token(name), "refresh": create_refresh_token(name)}

    @app.post("/refresh")
    @jwt_required(refresh=True)
    def refresh():
        return {"access": create_access_token(get_jwt_identity())}

    @app.get("/me")
    @jwt_required()
    def me():
        api.emit("sensitive_read")
        return {}

    @app.post("/revoke")
    @jwt_required()
    def revoke():
        revoked.add(get_jwt()["jti"])
        return {}

    SecLog(app)
    integration.connect(app)
    integration.connect(app)
    client = app.test_client()
    client.get("/start")
    entries.clear()
    return client


@pytest.fixture
def pair(client, entries):
    tokens = client.post("/login", json={"username": "alice", "password": token_urlsafe()}).json
    entries.clear()
    return tokens


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def told(entries):
    return [(e["event.name"], e.get("reason")) for e in entries if e["event.name"].startswith("authn")]


def test_a_login_and_its_tokens_are_told(client, entries):
    """A login endpoint that issues tokens: one login, each token by its hash."""
    tokens = client.post("/login", json={"username": "alice", "password": token_urlsafe()}).json
    assert [e["event.name"] for e in entries] == ["authn_login_success", "authn_token_created", "authn_token_created"]
    assert {e["user.id"] for e in entries} == {"alice"}
    assert [e["seclog.token.type"] for e in entries[1:]] == ["jwt_access", "jwt_refresh"]
    assert all(e["seclog.token.expires"].endswith("Z") and e["seclog.token.id_hash"] for e in entries[1:])
    assert not [token for token in tokens.values() if token in str(entries)]


def test_a_refresh_links_old_and_new(client, pair, entries):
    """An access token for a refresh token is a refresh."""
    client.post("/refresh", headers=bearer(pair["refresh"]))
    [entry] = entries
    assert (entry["event.name"], entry["user.id"]) == ("authn_token_refreshed", "alice")
    assert entry["seclog.token.id_hash"] != entry["seclog.token.new_id_hash"]


def test_the_user_of_a_token_acts(client, pair, entries):
    """An entry of the app's own names whom the token stands for."""
    client.get("/me", headers=bearer(pair["access"]))
    assert [(e["event.name"], e["user.id"]) for e in entries] == [("sensitive_read", "alice")]


def test_refused_tokens_are_told(client, pair, entries):
    """Expired, forged, malformed and of the wrong type."""
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    past = int((datetime.datetime.now() - datetime.timedelta(days=1)).timestamp())
    expired = jwt.encode({**claims, "exp": past}, SECRET, "HS256")
    forged = jwt.encode(claims, token_urlsafe(40), "HS256")
    for token in (expired, forged, "x.y.z", pair["refresh"]):
        client.get("/me", headers=bearer(token))
    assert told(entries) == [
        ("authn_token_expired", "expired"),
        ("authn_token_invalid", "bad_signature"),
        ("authn_token_invalid", "malformed"),
        ("authn_token_invalid", "wrong_type"),
    ]
    assert entries[0]["user.id"] == "alice"
    assert "user.id" not in next(e for e in entries if e.get("reason") == "bad_signature")
    assert forged not in str(entries)


def test_a_revoked_token_used_again_is_reuse(client, pair, entries):
    """The blocklist knows it: somebody uses what was given up."""
    client.post("/revoke", headers=bearer(pair["access"]))
    client.get("/me", headers=bearer(pair["access"]))
    assert told(entries) == [("authn_token_reuse", "revoked")]


def test_no_token_is_the_status_alone(client, entries):
    """Somebody without a token is one refused request."""
    client.get("/me")
    assert [e["event.name"] for e in entries] == ["authz_unauthenticated"]
