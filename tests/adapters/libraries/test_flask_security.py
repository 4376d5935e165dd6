"""Flask-Security on SQLAlchemy: logins and what fails silently, passwords, roles, activation, tokens."""

import re
from secrets import token_urlsafe

import pytest

pytest.importorskip("flask_security")

import sqlalchemy as sa
from flask import Flask
from flask_security import (
    MailUtil,
    RoleMixin,
    Security,
    SQLAlchemySessionUserDatastore,
    UserMixin,
    auth_token_required,
    hash_password,
    roles_required,
)
from flask_security.models.fsqla_v3 import FsModels  # noqa: F401 - the library's own check of its models
from sqlalchemy.ext.mutable import MutableList
from sqlalchemy.orm import DeclarativeBase, backref, mapped_column, relationship, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_login, flask_security

JSON = {"Accept": "application/json"}


class Base(DeclarativeBase):
    pass


members = sa.Table(
    "fs_members",
    Base.metadata,
    sa.Column("user_id", sa.ForeignKey("fs_users.id")),
    sa.Column("role_id", sa.ForeignKey("fs_roles.id")),
)


class Role(Base, RoleMixin):
    __tablename__ = "fs_roles"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.String(80), unique=True)
    permissions = mapped_column(MutableList.as_mutable(sa.JSON), nullable=True)


class User(Base, UserMixin):
    __tablename__ = "fs_users"
    id = mapped_column(sa.Integer, primary_key=True)
    email = mapped_column(sa.String(255), unique=True)
    password = mapped_column(sa.String(255))
    active = mapped_column(sa.Boolean)
    fs_uniquifier = mapped_column(sa.String(64), unique=True)
    roles = relationship(Role, secondary=members, backref=backref("users"))


class Mail(MailUtil):
    sent = []

    def send_mail(self, template, subject, recipient, sender, body, html, **kwargs):
        self.sent.append(str(body))


@pytest.fixture
def password():
    return token_urlsafe()


@pytest.fixture
def app(entries, password):
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    session = scoped_session(sessionmaker(engine))
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=token_urlsafe(40),
        SECURITY_PASSWORD_SALT=token_urlsafe(),
        WTF_CSRF_ENABLED=False,
        SECURITY_RECOVERABLE=True,
        SECURITY_CHANGEABLE=True,
        SECURITY_PASSWORD_HASH="plaintext",
        SECURITY_PASSWORD_SCHEMES=["plaintext"],
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
        SECURITY_HASHING_SCHEMES=["hex_md5"],
        SECURITY_DEPRECATED_HASHING_SCHEMES=[],
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SECURITY_SEND_PASSWORD_CHANGE_EMAIL=False,
    )
    app.store = SQLAlchemySessionUserDatastore(session, User, Role)
    Security(app, app.store, mail_util_cls=Mail)
    app.teardown_appcontext(lambda error: session.remove())

    @app.get("/adm")
    @roles_required("admin")
    def adm():
        return "ok"

    @app.get("/tok")
    @auth_token_required
    def tok():
        return "ok"

    SecLog(app)
    flask_login.connect(app)
    flask_security.connect(app)
    flask_security.connect(app)
    with app.app_context():
        app.store.create_role(name="admin", permissions=["read"])
        app.store.create_user(email="bob@x.io", password=hash_password(password))
        app.store.commit()
    app.test_client().get("/start")
    app.created = [entry for entry in entries if entry["event.name"] == "user_created"]
    entries.clear()
    yield app
    session.remove()
    engine.dispose()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def logged_in(client, password, entries):
    client.post("/login", json={"email": "bob@x.io", "password": password}, headers=JSON)
    entries.clear()
    return client


def names(entries):
    return [entry["event.name"] for entry in entries]


def uniquifier(app):
    with app.app_context():
        return app.store.find_user(email="bob@x.io").fs_uniquifier


def test_a_login_is_told_once(app, client, password, entries):
    """Two libraries send signals: one login and one session, named by the row and not by the uniquifier."""
    client.post("/login", json={"email": "bob@x.io", "password": password}, headers=JSON)
    client.post("/logout", headers=JSON)
    assert names(entries) == ["authn_login_success", "session_created", "session_logout"]
    assert {(e["user.id"], e["user.name"]) for e in entries} == {("1", "bob@x.io")}
    assert entries[0]["seclog.auth.method"] == "password"
    assert uniquifier(app) not in str(entries)


@pytest.mark.parametrize(("email", "reason"), [("bob@x.io", "invalid_credentials"), ("nobody@x.io", "unknown_user")])
def test_a_failed_login_is_told_once(email, reason, client, entries):
    """A wrong password sends a signal, an unknown user sends none."""
    client.post("/login", json={"email": email, "password": token_urlsafe()}, headers=JSON)
    failures = [e for e in entries if e["event.name"] == "authn_login_fail"]
    assert [(e["reason"], e.get("user.id")) for e in failures] == [
        (reason, "1" if reason == "invalid_credentials" else None)
    ]
    assert ("nobody" in str(failures)) is False


def test_a_disabled_account_is_told(app, client, password, entries):
    """The right password of a disabled account."""
    with app.app_context():
        app.store.deactivate_user(app.store.find_user(email="bob@x.io"))
        app.store.commit()
    client.post("/login", json={"email": "bob@x.io", "password": password}, headers=JSON)
    assert names(entries)[:2] == ["user_archived", "authn_login_fail"]
    assert entries[1]["reason"] == "inactive"


def test_a_changed_password_is_one_entry(app, logged_in, password, entries):
    """The library logs in anew and sets a new uniquifier: that is one fact."""
    new = token_urlsafe()
    sent = {"password": password, "new_password": new, "new_password_confirm": new}
    assert logged_in.post("/change", json=sent, headers=JSON).status_code == 200
    [entry] = entries
    assert entry["event.name"] == "authn_password_change"
    assert (entry["user.id"], entry["seclog.target.id"], entry["seclog.method"]) == ("1", "1", "self")
    assert new not in str(entries)


def test_a_refused_password_is_told(app, logged_in, password, entries):
    """A wrong current password, and a new one that is too short."""
    new = token_urlsafe()
    for old, chosen in ((new, new), (password, "x")):
        sent = {"password": old, "new_password": chosen, "new_password_confirm": chosen}
        logged_in.post("/change", json=sent, headers=JSON)
    mine = [e for e in entries if e["event.name"] == "authn_password_change_fail"]
    assert [(e["reason"], e["user.id"]) for e in mine] == [("wrong_password", "1"), ("weak_password", "1")]
    assert "authn_password_change" not in names(entries)


def test_a_reset_is_told_from_request_to_end(app, client, entries):
    """Requested for a known and an unknown address, done, the link used again, and a forged one."""
    Mail.sent.clear()
    client.post("/reset", json={"email": "bob@x.io"}, headers=JSON)
    client.post("/reset", json={"email": "nobody@x.io"}, headers=JSON)
    token = re.search(r"/reset/(\S+)", Mail.sent[0]).group(1)
    new = token_urlsafe()
    for link in (token, token, "forged"):
        client.post(f"/reset/{link}", json={"password": new, "password_confirm": new}, headers=JSON)
    mine = [e for e in entries if e["event.name"].startswith("authn_password")]
    assert [(e["event.name"], e.get("reason")) for e in mine] == [
        ("authn_password_reset_request", None),
        ("authn_password_reset_request", "unknown_user"),
        ("authn_password_reset_complete", None),
        ("authn_password_reset_fail", "unknown_user"),
        ("authn_password_reset_fail", "invalid_link"),
    ]
    assert (mine[0]["seclog.known"], mine[1]["seclog.known"]) == (True, False)
    assert mine[2]["user.id"] == "1"
    assert "nobody" not in str(mine)
    assert token not in str(entries)
    assert "session_revoked" not in names(entries)


def test_roles_are_told_after_the_commit(app, entries):
    """Given, given again, rolled back, taken; and what the role may do."""
    with app.app_context():
        bob = app.store.find_user(email="bob@x.io")
        app.store.add_role_to_user(bob, "admin")
        assert entries == []
        app.store.commit()
        app.store.add_role_to_user(bob, "admin")
        app.store.remove_role_from_user(bob, "admin")
        app.store.db.session.rollback()
        app.store.remove_role_from_user(bob, "admin")
        app.store.add_permissions_to_role("admin", {"write"})
        app.store.commit()
    given, taken, allowed = entries
    assert (given["event.name"], given["seclog.target.id"], given["seclog.group.name"]) == (
        "group_member_added",
        "1",
        "admin",
    )
    assert taken["event.name"] == "group_member_removed"
    assert allowed["event.name"] == "group_permissions_changed"
    assert (allowed["seclog.change.old"], allowed["seclog.change.new"]) == (["read"], ["read", "write"])


def test_accounts_are_told(app, entries):
    """Created, switched off and on, all sessions ended, deleted."""
    [created] = app.created
    assert (created["seclog.target.id"], created["seclog.target.name"]) == ("1", "bob@x.io")
    with app.app_context():
        bob = app.store.find_user(email="bob@x.io")
        app.store.deactivate_user(bob)
        app.store.deactivate_user(bob)
        app.store.activate_user(bob)
        app.store.set_uniquifier(bob)
        app.store.delete_user(bob)
        app.store.commit()
    assert names(entries) == ["user_archived", "user_enabled", "session_revoked", "user_deleted"]
    assert {e["seclog.target.id"] for e in entries} == {"1"}


def test_a_missing_role_is_named(logged_in, entries):
    """Refused with what would have been needed: one entry."""
    logged_in.get("/adm", headers=JSON)
    [entry] = entries
    assert (entry["event.name"], entry["user.id"], entry["seclog.permission"]) == ("authz_fail", "1", "admin")


def test_auth_tokens_are_told(client, password, entries):
    """Issued with the login, good silently, forged."""
    answer = client.post("/login?include_auth_token", json={"email": "bob@x.io", "password": password}, headers=JSON)
    token = answer.json["response"]["user"]["authentication_token"]
    created = next(e for e in entries if e["event.name"] == "authn_token_created")
    assert (created["seclog.target.id"], created["seclog.token.type"]) == ("1", "flask_security")
    assert token not in str(entries)
    entries.clear()
    fresh = client.application.test_client()
    assert fresh.get("/tok", headers={**JSON, "Authentication-Token": token}).status_code == 200
    assert entries == []
    fresh.get("/tok", headers={**JSON, "Authentication-Token": f"{token}x"})
    assert names(entries) == ["authn_token_invalid", "authz_unauthenticated"]
