"""fastapi-users: the real library on a user database in memory; what its routes do is told."""

import asyncio
import uuid
from secrets import token_urlsafe
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi_users")

import jwt
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, exceptions, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, CookieTransport, JWTStrategy
from fastapi_users.authentication.strategy import Strategy
from fastapi_users.db import BaseUserDatabase

from adapters.libraries_door import Door
from seclog import api
from seclog.adapters.asgi import SecurityEventMiddleware
from seclog.adapters.integrations import fastapi_users as integration

SECRET = token_urlsafe(40)
BRIEF = token_urlsafe(4)


class Users(BaseUserDatabase):
    """Users in a dictionary."""

    def __init__(self):
        self.rows = {}

    async def get(self, id):
        return self.rows.get(id)

    async def get_by_email(self, email):
        return next((user for user in self.rows.values() if user.email == email), None)

    async def create(self, create_dict):
        base = {"id": uuid.uuid4(), "is_active": True, "is_superuser": False, "is_verified": False}
        user = SimpleNamespace(**{**base, **create_dict})
        self.rows[user.id] = user
        return user

    async def update(self, user, update_dict):
        user.__dict__.update(update_dict)
        return user

    async def delete(self, user):
        del self.rows[user.id]


class Manager(UUIDIDMixin, BaseUserManager):
    reset_password_token_secret = verification_token_secret = SECRET

    async def on_after_login(self, user, request=None, response=None):
        """Overridden without super, as apps do."""

    async def on_after_forgot_password(self, user, token, request=None):
        self.user_db.mail = token

    async def validate_password(self, password, user):
        if password == BRIEF:
            raise exceptions.InvalidPasswordException("too short")


class Kept(Strategy):
    """Tokens in a dictionary."""

    tokens = {}

    async def read_token(self, token, user_manager):
        return await user_manager.get(self.tokens[token]) if token in self.tokens else None

    async def write_token(self, user):
        token = token_urlsafe()
        self.tokens[token] = user.id
        return token

    async def destroy_token(self, token, user):
        del self.tokens[token]


@pytest.fixture
def users():
    return Users()


@pytest.fixture
def client(users):
    integration.connect()
    integration.connect()

    async def manager():
        yield Manager(users)

    def strategy():
        return JWTStrategy(secret=SECRET, lifetime_seconds=60)

    bearer = AuthenticationBackend("jwt", BearerTransport(tokenUrl="jwt/login"), strategy)
    cookie = AuthenticationBackend("my-cookie", CookieTransport(cookie_secure=False), lambda: Kept())
    library = FastAPIUsers(manager, [bearer, cookie])
    app = FastAPI()
    app.include_router(library.get_auth_router(bearer), prefix="/jwt")
    app.include_router(library.get_auth_router(cookie, requires_verification=True), prefix="/cookie")
    app.include_router(library.get_reset_password_router())
    app.include_router(library.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate))
    app.include_router(library.get_users_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserUpdate), prefix="/users")

    @app.get("/maybe")
    async def maybe(user=Depends(library.current_user(optional=True))):  # noqa: B008 - FastAPI's way
        api.emit("sensitive_read")
        return str(user)

    with TestClient(Door(app)) as client:
        yield client


@pytest.fixture
def password():
    return token_urlsafe()


@pytest.fixture
def alice(client, users, password, entries):
    client.post("/register", json={"email": "alice@x.io", "password": password})
    entries.clear()
    return next(iter(users.rows.values()))


@pytest.fixture
def log_in(client, alice, password, entries):
    def log_in(way="jwt"):
        answer = client.post(f"/{way}/login", data={"username": "alice@x.io", "password": password})
        token = answer.json()["access_token"] if way == "jwt" else answer.cookies["fastapiusersauth"]
        entries.clear()
        return token

    return log_in


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def names(entries):
    return [entry["event.name"] for entry in entries]


def test_a_login_and_its_token_are_told(client, alice, password, entries):
    """A login by bearer: the login, and one issued token by a keyed hash."""
    answer = client.post("/jwt/login", data={"username": "alice@x.io", "password": password})
    login, token = entries
    assert login["event.name"] == "authn_login_success"
    assert (login["user.id"], login["user.name"]) == (str(alice.id), "alice@x.io")
    assert (login["seclog.auth.method"], login["seclog.auth.backend"]) == ("password", "jwt")
    assert token["event.name"] == "authn_token_created"
    assert token["user.id"] == token["seclog.target.id"] == str(alice.id)
    assert (token["seclog.token.type"], token["seclog.token.scope"]) == ("jwt_access", "all")
    assert token["seclog.token.expires"].endswith("Z")
    assert token["seclog.token.id_hash"]
    assert answer.json()["access_token"] not in str(entries)


def test_a_cookie_login_is_a_session(client, alice, password, entries):
    """A login by cookie: a session; its logout ends it, with the same hash."""
    alice.is_verified = True
    client.post("/cookie/login", data={"username": "alice@x.io", "password": password})
    client.post("/cookie/logout")
    assert names(entries) == ["authn_login_success", "session_created", "session_logout"]
    assert entries[1]["seclog.session.id_hash"] == entries[2]["seclog.session.id_hash"]


@pytest.mark.parametrize(("name", "reason"), [("alice@x.io", "invalid_credentials"), ("nobody@x.io", "unknown_user")])
def test_a_failed_login_is_told(name, reason, client, alice, entries):
    """A wrong password, and a name that nobody has, which is not written."""
    client.post("/jwt/login", data={"username": name, "password": token_urlsafe()})
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authn_login_fail", reason)
    assert (entry.get("user.id") == str(alice.id)) is (reason == "invalid_credentials")
    assert (entry["user.name"] == name) is (reason == "invalid_credentials")


def test_a_right_password_is_not_enough(client, alice, password, entries):
    """An inactive and an unverified user have the right password and are refused: failures."""
    client.post("/cookie/login", data={"username": "alice@x.io", "password": password})
    alice.is_active = False
    client.post("/jwt/login", data={"username": "alice@x.io", "password": password})
    assert [(e["event.name"], e["reason"]) for e in entries] == [
        ("authn_login_fail", "not_verified"),
        ("authn_login_fail", "inactive"),
    ]


def test_a_logout_by_bearer_is_told(client, log_in, alice, entries):
    """A JWT stays valid after the logout: logged out, nothing revoked."""
    client.post("/jwt/logout", headers=bearer(log_in()))
    [entry] = entries
    assert (entry["event.name"], entry["user.id"]) == ("session_logout", str(alice.id))


def test_a_reset_is_told_from_request_to_end(client, users, alice, entries):
    """Requested for a known and an unknown address, completed, and the link used again."""
    new = token_urlsafe()
    client.post("/forgot-password", json={"email": "alice@x.io"})
    client.post("/forgot-password", json={"email": "nobody@x.io"})
    client.post("/reset-password", json={"token": users.mail, "password": new})
    client.post("/reset-password", json={"token": users.mail, "password": new})
    known, unknown, done, again = entries
    assert (known["event.name"], known["seclog.known"], known["seclog.target.id"]) == (
        "authn_password_reset_request",
        True,
        str(alice.id),
    )
    assert (unknown["event.name"], unknown["seclog.known"]) == ("authn_password_reset_request", False)
    assert "nobody" not in str(unknown)
    assert (done["event.name"], done["user.id"]) == ("authn_password_reset_complete", str(alice.id))
    assert (again["event.name"], again["reason"]) == ("authn_password_reset_fail", "invalid_link")
    assert again["seclog.target.id"] == str(alice.id)
    assert users.mail not in str(entries)
    assert new not in str(entries)


def test_bad_reset_tokens_are_told(client, users, alice, entries):
    """No token, an expired one, and a password that is refused."""
    client.post("/forgot-password", json={"email": "alice@x.io"})
    claims = jwt.decode(users.mail, options={"verify_signature": False})
    expired = jwt.encode({**claims, "exp": 1}, SECRET, "HS256")
    entries.clear()
    for token, password in (("x.y.z", token_urlsafe()), (expired, token_urlsafe()), (users.mail, BRIEF)):
        client.post("/reset-password", json={"token": token, "password": password})
    assert [(e["event.name"], e["reason"]) for e in entries] == [
        ("authn_password_reset_fail", reason) for reason in ("invalid_link", "expired_link", "weak_password")
    ]


def test_flags_are_told_old_to_new(client, users, alice, log_in, entries):
    """A superuser gives power, archives and renames: one entry a change."""
    token = log_in()
    alice.is_superuser = True
    other = asyncio.run(users.create({"email": "bob@x.io", "hashed_password": ""}))
    sent = {"is_superuser": True, "is_active": False, "email": "rob@x.io"}
    assert client.patch(f"/users/{other.id}", json=sent, headers=bearer(token)).status_code == 200
    assert sorted(names(entries)) == ["authz_change", "user_archived", "user_updated"]
    change = next(entry for entry in entries if entry["event.name"] == "authz_change")
    assert (change["user.id"], change["seclog.target.id"]) == (str(alice.id), str(other.id))
    assert (change["seclog.change.field"], change["seclog.change.direction"]) == ("is_superuser", "grant")
    assert (change["seclog.change.old"], change["seclog.change.new"]) == (False, True)


def test_a_silently_dropped_flag_is_an_attempt(client, alice, log_in, entries):
    """`PATCH /me` with is_superuser answers 200 and drops it; a flag sent back as it was is no attempt."""
    headers = bearer(log_in())
    assert client.patch("/users/me", json={"is_superuser": True}, headers=headers).status_code == 200
    assert client.patch("/users/me", json={"is_superuser": False}, headers=headers).status_code == 200
    [entry] = entries
    assert (entry["event.name"], entry["seclog.field"]) == ("malicious_extraneous", "is_superuser")
    assert entry["user.id"] == str(alice.id)
    assert not alice.is_superuser


def test_a_registration_is_told(client, users, entries):
    """A new user, and the power that it asked for and did not get."""
    client.post("/register", json={"email": "eve@x.io", "password": token_urlsafe(), "is_superuser": True})
    assert names(entries) == ["user_created", "malicious_extraneous"]
    assert entries[0]["seclog.target.name"] == "eve@x.io"
    assert entries[0]["seclog.target.roles"] == []


def test_a_changed_password_is_told(client, alice, log_in, entries):
    """By oneself; a refused one too."""
    headers = bearer(log_in())
    client.patch("/users/me", json={"password": token_urlsafe()}, headers=headers)
    client.patch("/users/me", json={"password": BRIEF}, headers=headers)
    assert names(entries) == ["authn_password_change", "authn_password_change_fail"]
    assert {(e["seclog.method"], e["user.id"]) for e in entries} == {("self", str(alice.id))}
    assert entries[1]["reason"] == "weak_password"


def test_a_deleted_user_is_told(client, users, alice, log_in, entries):
    """A user's end, by a superuser."""
    token = log_in()
    alice.is_superuser = True
    client.delete(f"/users/{alice.id}", headers=bearer(token))
    [entry] = entries
    assert (entry["event.name"], entry["seclog.target.id"], entry["seclog.self"]) == (
        "user_deleted",
        str(alice.id),
        True,
    )


def test_the_user_of_every_request_is_known(client, alice, log_in, entries):
    """An entry of the app's own names the user of the token."""
    client.get("/maybe", headers=bearer(log_in()))
    assert (entries[0]["event.name"], entries[0]["user.name"]) == ("sensitive_read", "alice@x.io")


def test_refused_tokens_are_told(client, alice, log_in, entries):
    """Expired, forged, of an inactive user, unknown; where a user is optional as well."""
    good = log_in()
    claims = jwt.decode(good, options={"verify_signature": False})
    old = jwt.encode({**claims, "exp": 1}, SECRET, "HS256")
    forged = jwt.encode(claims, token_urlsafe(40), "HS256")
    for token in (old, forged, "x.y.z"):
        client.get("/users/me", headers=bearer(token))
    client.cookies.set("fastapiusersauth", token_urlsafe())
    client.get("/users/me")
    client.cookies.clear()
    alice.is_active = False
    client.get("/users/me", headers=bearer(good))
    assert [(e["event.name"], e["reason"]) for e in entries] == [
        ("authn_token_expired", "expired"),
        ("authn_token_invalid", "bad_signature"),
        ("authn_token_invalid", "malformed"),
        ("authn_token_invalid", "unknown_token"),
        ("authn_token_invalid", "inactive"),
    ]
    assert entries[4]["user.id"] == str(alice.id)
    entries.clear()
    client.get("/maybe", headers=bearer(old))
    assert names(entries) == ["authn_token_expired", "sensitive_read"]


def test_no_token_is_no_event(client, entries):
    """Somebody without a token is refused by status, which the adapter tells."""
    assert client.get("/users/me").status_code == 401
    assert entries == []


def test_the_asgi_door_and_the_library_tell_once(client, alice, password, entries):
    """With the real adapter: one login, one failed (its 400 is no entry of its own), one attempt, one refused request."""
    with TestClient(SecurityEventMiddleware(client.app.app)) as real:
        token = real.post("/jwt/login", data={"username": "alice@x.io", "password": password}).json()["access_token"]
        real.post("/jwt/login", data={"username": "alice@x.io", "password": token_urlsafe()})
        real.patch("/users/me", json={"is_superuser": True}, headers=bearer(token))
        real.get("/users/me", headers=bearer(f"{token}x"))
    assert [name for name in names(entries) if not name.startswith("sys_")] == [
        "authn_login_success",
        "authn_token_created",
        "authn_login_fail",
        "malicious_extraneous",
        "authn_token_invalid",
        "authz_unauthenticated",
    ]
    attempt = next(entry for entry in entries if entry["event.name"] == "malicious_extraneous")
    assert (attempt["user.id"], attempt["http.route"]) == (str(alice.id), "/users/me")
