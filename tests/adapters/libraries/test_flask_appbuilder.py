"""Flask-AppBuilder on SQLAlchemy: logins, accounts, roles, refusals, rows, keys; in every way that writes them."""

import logging
from secrets import token_urlsafe

import pytest

pytest.importorskip("flask_appbuilder")

import sqlalchemy as sa
from flask import Flask
from flask_appbuilder import AppBuilder, BaseView, Model, ModelView, expose, has_access
from flask_appbuilder.actions import action
from flask_appbuilder.api import BaseApi
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import protect
from flask_appbuilder.utils.legacy import get_sqla_class
from sqlalchemy.orm import mapped_column

from conftest import whole
from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_appbuilder

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # the library's own, of its own dependencies


class Parcel(Model):
    __tablename__ = "fab_parcels"
    id = mapped_column(sa.Integer, primary_key=True)
    note = mapped_column(sa.String(50))
    api_token = mapped_column(sa.String(50), default="")

    def __repr__(self):
        return str(self.note)


class ParcelView(ModelView):
    datamodel = SQLAInterface(Parcel)
    add_columns = list_columns = ["note"]
    edit_columns = ["note", "api_token"]

    @action("send", "Send", "Really?", multiple=True)
    def send(self, items):
        return "sent"

    @action("drop", "Drop", "Really?", multiple=True)
    def drop(self, items):
        self.datamodel.delete_all(items)
        return "dropped"


class Reports(BaseView):
    route_base = "/reports"

    @expose("/")
    @has_access
    def all(self):
        return "all"


class Numbers(BaseApi):
    resource_name = "numbers"

    @expose("/")
    @protect()
    def all(self):
        return self.response(200, numbers=[1])


@pytest.fixture
def password():
    return token_urlsafe()


@pytest.fixture
def app(entries, password):
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=token_urlsafe(40),
        SQLALCHEMY_DATABASE_URI="sqlite://",
        WTF_CSRF_ENABLED=False,
        FAB_ADD_SECURITY_API=True,
        FAB_API_KEY_ENABLED=True,
        FAB_PASSWORD_HASH_METHOD="pbkdf2:sha256:1",
        RATELIMIT_ENABLED=False,
        FAB_ROLES={"Reader": [["Nothing", "can_list"]]},
    )
    logging.getLogger("flask_appbuilder").setLevel(logging.CRITICAL)
    db = get_sqla_class()()
    db.init_app(app)
    with app.app_context():
        AppBuilder(app, db.session)
        SecLog(app)  # connects now, and again before the first request, for the views that are added below
        app.appbuilder.add_view(ParcelView, "Parcels")
        app.appbuilder.add_view(Reports, "Reports")
        app.appbuilder.add_api(Numbers)
        db.create_all()
        manager = app.appbuilder.sm
        for name, role in (("alice", manager.find_role("Admin")), ("bob", manager.add_role("Clerk"))):
            manager.add_user(name, name, "Doe", f"{name}@x.io", role, password=password)
        db.session.add(Parcel(note="old"))
        db.session.commit()
    app.test_client().get("/")
    entries.clear()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def manager(app):
    with app.app_context():
        yield app.appbuilder.sm


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def enter(app, password, entries):
    def log_in(name):
        client = app.test_client()
        client.post("/login/", data={"username": name, "password": password})
        entries.clear()
        return client

    return log_in


@pytest.fixture
def token(client, password, entries):
    def get(name):
        given = {"username": name, "password": password, "provider": "db"}
        answer = client.post("/api/v1/security/login", json=given).json["access_token"]
        entries.clear()
        return {"Authorization": f"Bearer {answer}"}

    return get


def names(entries):
    return [entry["event.name"] for entry in entries]


# ── logins ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_login_is_told_once(client, password, entries):
    """By the form: the login and its session, whichever library hears of it first."""
    client.post("/login/", data={"username": "alice", "password": password})
    assert names(entries) == ["authn_login_success", "session_created"]
    entry = whole(entries[0])
    assert (entry["user.id"], entry["user.name"], entry["seclog.auth.method"]) == ("1", "alice", "password")
    assert password not in str(entries)


def test_what_the_library_does_at_every_start_is_no_event(manager, app, entries):
    """A new view's permissions go to the library's own admin role: nobody gave them."""

    class Late(Reports):
        route_base = "/late"
        default_view = "all"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_got_first_request", False)
        manager.appbuilder.add_view(Late, "Late")
    assert manager.find_permission_view_menu("can_all", "Late") in manager.find_role("Admin").permissions
    assert entries == []


@pytest.mark.parametrize(
    ("name", "reason"), [("alice", "invalid_credentials"), ("nobody", "unknown_user"), ("bob", "inactive")]
)
def test_a_failed_login_says_why(name, reason, app, client, manager, password, entries):
    """A wrong password, a name that nobody has (and that is not written), and a user who is no longer active."""
    if name == "bob":
        bob = manager.find_user("bob")
        bob.active = False
        manager.update_user(bob)
        entries.clear()
    client.post("/login/", data={"username": name, "password": password if name == "bob" else "wrong"})
    [entry] = entries
    assert (entry["event.name"], entry["reason"], entry["event.outcome"]) == ("authn_login_fail", reason, "failure")
    assert (entry["user.name"] == name) is (name != "nobody")
    assert password not in str(entries)


def test_a_login_by_the_api_is_a_login_and_a_token(client, password, entries):
    """The REST endpoint gives a token; the user of it is the one who logged in."""
    given = {"username": "alice", "password": password, "provider": "db", "refresh": True}
    answer = client.post("/api/v1/security/login", json=given).json
    assert names(entries) == ["authn_login_success", "authn_token_created", "authn_token_created"]
    assert {entry["user.id"] for entry in entries} == {"1"}
    assert answer["access_token"] not in str(entries)


def test_a_failed_login_by_the_api(client, entries):
    """One failed login, and the request that was refused for it."""
    given = {"username": "nobody", "password": "wrong", "provider": "db"}
    client.post("/api/v1/security/login", json=given)
    assert names(entries) == ["authn_login_fail", "authz_unauthenticated"]
    assert entries[0]["reason"] == "unknown_user"


def test_other_ways_to_log_in(app, manager, entries):
    """OAuth and REMOTE_USER pass through the same place, and say which they are."""
    with app.test_request_context("/login/"):
        assert manager.auth_user_oauth({"username": "alice"})
        assert manager.auth_user_oauth({"email": "nobody@x.io"}) is None
        assert manager.auth_user_remote_user("alice")
    told = [(e["event.name"], e.get("reason"), e["seclog.auth.method"]) for e in entries]
    assert told == [
        ("authn_login_success", None, "oauth"),
        ("authn_login_fail", "unknown_user", "oauth"),
        ("authn_login_success", None, "remote_user"),
    ]
    assert "nobody" not in str(entries)


def test_a_logout_is_told_once(enter, entries):
    """Flask-Login hears of it."""
    enter("alice").get("/logout/")
    assert names(entries) == ["session_logout"]


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_created_and_deleted_by_the_manager(manager, entries):
    """Once each, with the roles that it has; no group entry besides."""
    manager.add_user("eve", "Eve", "Doe", "eve@x.io", manager.find_role("Clerk"), password=token_urlsafe())
    manager.delete_user(manager.find_user("eve"))
    assert names(entries) == ["user_created", "user_deleted"]
    for entry in entries:
        assert (entry["seclog.target.id"], entry["seclog.target.name"]) == ("3", "eve")
        assert entry["seclog.target.roles"] == ["Clerk"]


def test_a_user_who_is_not_saved_is_no_event(manager, entries):
    """The name is taken: the library rolls back."""
    assert manager.add_user("bob", "B", "D", "other@x.io", manager.find_role("Clerk")) is False
    assert entries == []


def test_a_user_changed_in_the_view(enter, manager, entries):
    """The form of an administrator: one entry a fact, old → new, by whom; no admin entry besides."""
    client = enter("alice")
    admin, clerk = (manager.find_role(name).id for name in ("Admin", "Clerk"))
    form = {"first_name": "bob", "last_name": "Doe", "username": "bob", "email": "rob@x.io", "roles": [admin, clerk]}
    assert client.post("/users/edit/2", data=form).status_code == 302
    assert sorted(names(entries)) == ["group_member_added", "user_archived", "user_updated"]
    by_name = {entry["event.name"]: entry for entry in entries}
    assert {(e["user.id"], e["seclog.target.id"]) for e in entries} == {("1", "2")}
    assert by_name["group_member_added"]["seclog.group.name"] == "Admin"
    updated = by_name["user_updated"]
    assert (updated["seclog.change.field"], updated["seclog.change.old"], updated["seclog.change.new"]) == (
        "email",
        "bob@x.io",
        "rob@x.io",
    )


def test_a_user_changed_by_the_api(client, token, manager, entries):
    """The REST API writes in a way of its own."""
    headers = token("alice")
    given = {"active": False, "roles": [manager.find_role("Reader").id], "password": token_urlsafe()}
    assert client.put("/api/v1/security/users/2", json=given, headers=headers).status_code == 200
    assert sorted(names(entries)) == [
        "authn_password_change",
        "group_member_added",
        "group_member_removed",
        "user_archived",
    ]
    assert {(e["user.id"], e["seclog.target.id"]) for e in entries} == {("1", "2")}
    assert given["password"] not in str(entries)


def test_users_of_a_role_changed_by_the_api(client, token, manager, entries):
    """From the role's side it is the same fact: who has it now, and who no longer."""
    headers, clerk = token("alice"), manager.find_role("Clerk").id
    path = f"/api/v1/security/roles/{clerk}/users"
    assert client.put(path, json={"user_ids": [1]}, headers=headers).status_code == 200
    assert sorted((e["event.name"], e["seclog.target.id"], e["seclog.group.name"]) for e in entries) == [
        ("group_member_added", "1", "Clerk"),
        ("group_member_removed", "2", "Clerk"),
    ]


@pytest.mark.parametrize(("path", "target", "method"), [("me", "1", "self"), ("", "2", "admin")])
def test_a_changed_password(path, target, method, enter, entries):
    """One's own, and that of another user."""
    new = token_urlsafe()
    url = "/resetmypassword/form" if path else "/resetpassword/form?pk=2"
    enter("alice").post(url, data={"password": new, "conf_password": new})
    [entry] = entries
    assert (entry["event.name"], entry["seclog.target.id"]) == ("authn_password_change", target)
    assert (entry["user.id"], entry["seclog.method"]) == ("1", method)
    assert new not in str(entries)


# ── roles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_permissions_of_a_role(manager, entries):
    """Given and taken by the manager, one entry each, by name."""
    clerk = manager.find_role("Clerk")
    permission = manager.find_permission_view_menu("can_list", "ParcelView")
    manager.add_permission_role(clerk, permission)
    manager.add_permission_role(clerk, permission)
    manager.del_permission_role(clerk, permission)
    told = [(e["event.name"], e["seclog.change.old"], e["seclog.change.new"]) for e in entries]
    assert told == [
        ("group_permissions_changed", [], ["can_list on ParcelView"]),
        ("group_permissions_changed", ["can_list on ParcelView"], []),
    ]
    assert [e["seclog.change.direction"] for e in entries] == ["grant", "revoke"]
    assert {e["seclog.group.name"] for e in entries} == {"Clerk"}


def test_a_deleted_and_a_renamed_role(manager, entries):
    """A role's end takes its permissions; a new name is one by which it may be looked up."""
    permission = manager.find_permission_view_menu("can_list", "ParcelView")
    role = manager.add_role("Temp", [permission])
    manager.update_role(role.id, "Temporary")
    manager.delete_role(role)
    assert [(e["seclog.group.name"], e["reason"]) for e in entries] == [
        ("Temp", "created"),
        ("Temporary", "renamed"),
        ("Temporary", "deleted"),
    ]


def test_a_group_of_roles(manager, entries):
    """A user in a group has its roles: both are told."""
    group = manager.add_group("night", "Night", "", roles=[manager.find_role("Clerk")])
    bob = manager.find_user("bob")
    bob.groups.append(group)
    manager.update_user(bob)
    permissions, member = entries
    assert (permissions["event.name"], permissions["seclog.change.new"]) == ("group_permissions_changed", ["Clerk"])
    assert (member["event.name"], member["seclog.group.name"]) == ("group_member_added", "night")


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_view_names_the_permission(enter, client, entries):
    """Of a user, and of nobody, who is sent to the login."""
    enter("bob").get("/reports/")
    client.get("/reports/")
    denied, anonymous = entries
    assert (denied["event.name"], denied["seclog.permission"]) == ("authz_fail", "can_all on Reports")
    assert denied["user.id"] == "2"
    assert anonymous["event.name"] == "authz_unauthenticated"


def test_a_refused_api_names_the_permission(client, token, entries):
    """A token without the permission, and no token."""
    client.get("/api/v1/numbers/", headers=token("bob"))
    client.get("/api/v1/numbers/")
    denied, anonymous = entries
    assert (denied["event.name"], denied["seclog.permission"]) == ("authz_fail", "can_all on Numbers")
    assert anonymous["event.name"] == "authz_unauthenticated"


def test_a_refused_action(enter, client, entries):
    """A refusal that is a redirect and a message."""
    sent = {"action": "send", "rowid": "1"}
    enter("bob").post("/parcelview/action_post", data=sent)
    client.post("/parcelview/action_post", data=sent)
    denied, anonymous = entries
    assert (denied["event.name"], denied["seclog.permission"]) == ("authz_fail", "send on ParcelView")
    assert anonymous["event.name"] == "authz_unauthenticated"


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_in_a_view(enter, entries):
    """Created, changed from what to what, deleted, by whom; not a secret's value."""
    client, secret = enter("alice"), token_urlsafe()
    client.post("/parcelview/add", data={"note": "new"})
    client.post("/parcelview/edit/1", data={"note": "changed", "api_token": secret})
    client.post("/parcelview/delete/1")
    told = [(e["event.name"], e["seclog.action"], e["seclog.target.type"], e["seclog.target.id"]) for e in entries]
    assert told == [("authz_admin", a, "Parcel", key) for a, key in (("create", "2"), ("change", "1"), ("delete", "1"))]
    changed = whole(entries[1])
    assert len(changed["seclog.change.field"]) == 2  # the redactor takes a list for name and value if a secret leads it
    assert (changed["seclog.change.old"]["note"], changed["seclog.change.new"]["note"]) == ("old", "changed")
    assert secret not in str(entries)
    assert {entry["user.id"] for entry in entries} == {"1"}


def test_an_action_by_a_link_is_refused(app, enter, entries):
    """With CSRF protection on, a link may not act: what did not happen is no admin entry."""
    client = enter("alice")
    app.config["WTF_CSRF_ENABLED"] = True
    app.extensions["csrf"] = object()
    assert client.get("/parcelview/action/send/1").data != b"sent"
    [entry] = entries
    assert (entry["event.name"], entry["reason"]) == ("authz_fail", "get_not_allowed")


def test_actions_on_rows(enter, entries):
    """One entry an action, also of one that deletes; an unknown one is none."""
    client = enter("alice")
    client.post("/parcelview/action_post", data={"action": "send", "rowid": "1"})
    client.post("/parcelview/action_post", data={"action": "drop", "rowid": ["1"]})
    assert [(e["event.name"], e["seclog.action"], e["seclog.target.id"]) for e in entries] == [
        ("authz_admin", "send", "1"),
        ("authz_admin", "drop", "1"),
    ]


# ── keys and exports ──────────────────────────────────────────────────────────────────────────────────────────────


def test_api_keys(client, manager, entries):
    """Created, refused when wrong, revoked: the key itself is nowhere."""
    key = manager.create_api_key(manager.find_user("alice"), "robot")
    wrong = f"sst_{token_urlsafe()}"
    client.get("/api/v1/numbers/", headers={"Authorization": f"Bearer {key['key']}"})
    client.get("/api/v1/numbers/", headers={"Authorization": f"Bearer {wrong}"})
    manager.revoke_api_key(key["uuid"])
    assert names(entries) == [
        "authn_token_created",
        "authn_token_invalid",
        "authz_unauthenticated",
        "authn_token_revoked",
    ]
    assert entries[0]["seclog.token.id_hash"] == entries[-1]["seclog.token.id_hash"]
    assert key["key"] not in str(entries)
    assert wrong not in str(entries)


def test_exported_roles(manager, tmp_path, entries):
    """`flask fab export-roles` writes who may do what into a file."""
    manager.export_roles(str(tmp_path / "roles.json"))
    [entry] = entries
    assert (entry["event.name"], entry["seclog.target.type"], entry["seclog.format"]) == ("data_export", "Role", "json")


def test_a_lost_hook_is_one_warning(manager, app, caplog, monkeypatch):
    """A name that the library no longer has: one warning, and the other hooks work."""
    monkeypatch.setattr(type(manager), "export_roles", None)
    monkeypatch.delattr(manager, "export_roles", raising=False)
    with caplog.at_level("WARNING", "seclog.internal"):
        flask_appbuilder.connect(app)
    assert [record.args[2] for record in caplog.records if record.name == "seclog.internal"] == ["export_roles"]
