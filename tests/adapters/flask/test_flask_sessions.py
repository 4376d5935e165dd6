"""Family 3 in Flask: sessions that begin, end and expire, in the cookie and on the server."""

import time
from datetime import timedelta
from secrets import token_hex, token_urlsafe

import pytest
from flask import abort, session
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from conftest import whole


@pytest.fixture
def doors(app):
    """Ways in, out and around."""

    @app.get("/in/<int:pk>")
    def go_in(pk):
        session["user_id"] = pk
        return "in"

    @app.get("/out")
    def go_out():
        session.clear()
        return "out"

    @app.get("/basket")
    def basket():
        session["items"] = [1, 2]
        return "basket"

    @app.get("/deny")
    def deny():
        abort(403)

    @app.get("/")
    def home():
        return "home"

    return app


def test_logout_as_a_whole(doors, client, told):
    """A session that loses its user is one entry that names who left."""
    client.get("/in/7")
    told()
    client.get("/out", headers={"User-Agent": "Firefox"})
    [entry] = told()
    for name in ("service.name", "deployment.environment.name"):
        entry.pop(name, None)
    assert whole(entry) == {
        "schema": "seclog/1",
        "reason": "flushed",
        "timestamp": "<time>",
        "event.name": "session_logout",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Logged out",
        "user.id": "7",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": "/out",
        "url.path": "/out",
        "http.response.status_code": 200,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
    }


def test_an_anonymous_session_is_no_event(doors, client, told):
    """A basket, a message, an anonymous logout: nobody's session began or ended."""
    client.get("/basket")
    client.get("/out")
    assert told() == []


def test_a_session_that_changes_is_the_same(doors, client, names):
    """Flask sends a new cookie with every change: that is no new session."""
    client.get("/in/7")
    names()
    client.get("/basket")
    client.get("/in/7")
    assert names() == []


def test_a_tampered_cookie_is_told_once(doors, client, told):
    """A cookie that was not signed by the app is one entry, not one for each request that brings it."""
    client.set_cookie("session", f"{token_urlsafe()}.{token_urlsafe(4)}.{token_urlsafe()}")
    client.get("/")
    client.get("/")
    [entry] = told()
    assert (entry["event.name"], entry["reason"]) == ("session_use_after_expire", "unknown_session")
    assert len(entry["seclog.session.id_hash"]) == 32


def test_an_expired_cookie(doors, client, told, monkeypatch):
    """A cookie that the app signed long ago is an expired session, and says whose."""
    client.get("/in/7")
    told()
    doors.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=60)
    later = time.time() + 3600
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    client.get("/deny")
    expired, refused = told()
    assert (expired["event.name"], expired["reason"], expired["user.id"]) == ("session_expired", "expired", "7")
    assert "user.id" not in refused


def test_an_expired_anonymous_cookie_is_no_event(doors, client, told, monkeypatch):
    """An old basket is nobody's session."""
    client.get("/basket")
    doors.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=60)
    later = time.time() + 3600
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    client.get("/")
    assert told() == []


def test_no_secret_key(make_app, names):
    """An app without sessions has no events of them."""
    app = make_app()
    app.secret_key = None
    app.add_url_rule("/deny", "deny", lambda: abort(403))
    client = app.test_client()
    client.set_cookie("session", "x.y.z")
    client.get("/deny")
    assert names() == ["authz_fail"]


@pytest.mark.parametrize("key", ["sid", "session_id", "csrf_token"])
def test_a_random_value_in_the_session_tells_it_apart(doors, client, told, key):
    """A value that stays with the session stands in for its key, as a keyed hash."""
    value = token_hex()
    with client.session_transaction() as stored:
        stored.update({"user_id": 7, key: value})
    client.get("/deny")
    client.get("/basket")
    client.get("/deny")
    first, second = (entry["seclog.session.id_hash"] for entry in told())
    assert first == second != value


def test_the_device_identifier_of_flask_login(doors, client, told):
    """Flask-Login keeps one in the session; with the user it tells sessions apart."""
    hashes = []
    for user in ("7", "7", "8"):
        with client.session_transaction() as stored:
            stored.update({"_user_id": user, "_id": "device"})
        client.get("/deny")
        hashes.append(told()[0]["seclog.session.id_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


# ── sessions on the server ────────────────────────────────────────────────────────────────────────────────


class ServerSession(CallbackDict, SessionMixin):
    def __init__(self, data, sid):
        def changed(this):
            this.modified = True

        super().__init__(data, changed)
        self.sid = sid
        self.modified = False


class ServerSessions(SessionInterface):
    """Sessions in a dictionary, as Flask-Session keeps them in Redis."""

    def __init__(self):
        self.kept = {}

    def open_session(self, app, request):
        sid = request.cookies.get("session")
        return ServerSession(self.kept.get(sid, {}), sid if sid in self.kept else token_hex())

    def save_session(self, app, session, response):
        if session.modified:
            self.kept[session.sid] = dict(session)
            response.set_cookie("session", session.sid)


@pytest.fixture
def on_server(doors):
    """The app with sessions on the server, set up after seclog was."""
    doors.session_interface = ServerSessions()

    @doors.get("/renew")
    def renew():
        session.sid = token_hex()
        session.modified = True
        return "renewed"

    return doors


def test_created_and_left_on_the_server(on_server, client, told):
    """The same entries, with the hash of the session's key."""
    client.get("/in/7")
    client.get("/deny")
    client.get("/out")
    created, refused, left = told()
    assert [entry["event.name"] for entry in (created, refused, left)] == [
        "session_created",
        "authz_fail",
        "session_logout",
    ]
    assert {entry["user.id"] for entry in (created, refused, left)} == {"7"}
    hashes = {entry["seclog.session.id_hash"] for entry in (created, refused, left)}
    assert len(hashes) == 1
    assert hashes.isdisjoint(on_server.session_interface.kept)


def test_renewed_on_the_server(on_server, client, told):
    """The same user under another key is a renewed session."""
    client.get("/in/7")
    [created] = told()
    client.get("/renew")
    [renewed] = told()
    assert (renewed["event.name"], renewed["user.id"]) == ("session_renewed", "7")
    assert renewed["seclog.session.previous_id_hash"] == created["seclog.session.id_hash"]
    assert renewed["seclog.session.id_hash"] != created["seclog.session.id_hash"]


def test_a_session_is_not_made_by_looking(on_server, client):
    """To look at a session does not change or save it."""
    client.get("/")
    client.get("/deny")
    assert on_server.session_interface.kept == {}
