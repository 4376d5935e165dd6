"""Flask-Login: logins, silent refusals, logouts, and who acts; in a Flask app with our extension."""

from types import SimpleNamespace

import pytest

pytest.importorskip("flask_login")

import flask_login
from flask import Flask, session
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user

from seclog import api
from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_login as integration


class User(UserMixin):
    def __init__(self, id, active=True):
        self.id, self.username, self._active = id, f"user{id}", active

    @property
    def is_active(self):
        return self._active


@pytest.fixture
def app(entries):
    app = Flask(__name__)
    app.secret_key = "x" * 32
    manager = LoginManager(app)
    manager.session_protection = "strong"
    manager.user_loader(lambda key: User(key, key != "9"))

    @app.post("/login/<key>")
    def login(key):
        return str(login_user(User(key, key != "9"), remember=key == "2"))

    @app.get("/logout")
    def logout():
        logout_user()
        return "out"

    @app.get("/me")
    @login_required
    def me():
        api.emit("sensitive_read")
        return current_user.id

    @app.get("/form")
    def form():
        session["csrf_token"] = "something"
        return str(current_user.is_anonymous)

    SecLog(app)
    integration.connect(app)
    integration.connect(app)
    return app


@pytest.fixture
def client(app, entries):
    client = app.test_client()
    client.get("/start")  # tells the start of the process, and that there is no such page
    entries.clear()
    return client


def names(entries):
    return [entry["event.name"] for entry in entries]


def test_a_login_and_a_logout_are_told_once(client, entries):
    """The login and its session, the user of the next request, the logout with the same session."""
    client.post("/login/1")
    client.get("/me")
    client.get("/logout")
    assert names(entries) == ["authn_login_success", "session_created", "sensitive_read", "session_logout"]
    assert {(entry["user.id"], entry["user.name"]) for entry in entries if "user.name" in entry} == {("1", "user1")}
    assert entries[0]["seclog.auth.method"] == "password"
    assert entries[1]["seclog.session.id_hash"] == entries[3]["seclog.session.id_hash"]


def test_an_inactive_user_is_a_failure(client, entries):
    """`login_user` returns False and tells nobody; the name was imported before we came."""
    assert client.post("/login/9").data == b"False"
    [entry] = entries
    assert (entry["event.name"], entry["reason"], entry["user.id"]) == ("authn_login_fail", "inactive", "9")
    assert flask_login.login_user is login_user


def test_a_logout_of_nobody_is_no_event(client, entries):
    """The library sends its signal for an anonymous user too."""
    client.get("/logout")
    assert entries == []


def test_a_page_for_users_refuses_nobody(client, entries):
    """One request-level entry for somebody who is not logged in."""
    assert client.get("/me").status_code == 401
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authz_unauthenticated", "login_required")


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:flask_login")  # its cookie's expiry
def test_a_remembered_user_is_a_login(app, client, entries):
    """The remember cookie makes a new session without a password."""
    client.post("/login/2")
    client.delete_cookie("session")
    entries.clear()
    client.get("/me")
    assert names(entries)[:2] == ["authn_login_success", "sensitive_read"]
    assert (entries[0]["seclog.auth.method"], entries[0]["user.id"]) == ("remember_cookie", "2")


def test_a_session_from_another_browser_is_suspected(client, entries):
    """The library's own protection drops it."""
    client.post("/login/1", headers={"User-Agent": "A"})
    entries.clear()
    client.get("/me", headers={"User-Agent": "B"})
    assert entries[0]["event.name"] == "session_hijack_suspected"
    assert (entries[0]["user.id"], entries[0]["reason"]) == ("1", "session_protection")


def test_the_session_of_nobody_is_not_suspected(client, entries):
    """A session that holds a CSRF token only has no device that could differ, though the library says it does."""
    client.get("/form")
    client.get("/form")
    assert names(entries) == []


def test_security_identifiers_are_no_ids():
    """Flask-Security's `get_id` is a secret of its own: the row's key names the user."""
    user = SimpleNamespace(fs_uniquifier="f" * 32, id=7, email="a@x.io", get_id=lambda: "f" * 32)
    assert integration.identity(user) == ("7", "a@x.io")
