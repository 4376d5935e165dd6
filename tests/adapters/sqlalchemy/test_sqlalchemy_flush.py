"""What a flush changes in watched models, sync: roles, permissions and configuration, old → new, after the commit."""

from secrets import token_urlsafe

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship

from conftest import whole
from seclog.adapters import sqlalchemy as adapter
from seclog.context import Scope, enter, leave


class Base(DeclarativeBase):
    pass


members = sa.Table(
    "members",
    Base.metadata,
    sa.Column("user_id", sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("role_id", sa.ForeignKey("roles.id"), primary_key=True),
)


class Team(Base):
    __tablename__ = "teams"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.String)


class User(Base):
    __tablename__ = "users"
    id = mapped_column(sa.Integer, primary_key=True)
    username = mapped_column(sa.String)
    is_admin = mapped_column(sa.Boolean, default=False)
    nickname = mapped_column(sa.String)
    team_id = mapped_column(sa.ForeignKey("teams.id"))
    team = relationship(Team)
    roles = relationship("Role", secondary=members, back_populates="users")


class Role(Base):
    __tablename__ = "roles"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.String)
    permissions = mapped_column(sa.JSON)
    users = relationship(User, secondary=members, back_populates="roles")


class Setting(Base):
    __tablename__ = "settings"
    id = mapped_column(sa.Integer, primary_key=True)
    key = mapped_column(sa.String)
    value = mapped_column(sa.String)


class Theme(Base):
    __tablename__ = "themes"
    id = mapped_column(sa.Integer, primary_key=True)
    color = mapped_column(sa.String)
    smtp_password = mapped_column(sa.String)


@pytest.fixture(autouse=True)
def _watched():
    adapter.watch(User, "is_admin", "roles", "team", family="role")
    adapter.watch(Role, "users", family="role")
    adapter.watch(Role, "permissions", family="permission")
    adapter.watch(Setting, family="config")
    adapter.watch(Theme, family=9)
    yield
    adapter.forget()


@pytest.fixture(autouse=True)
def acting():
    scope = Scope()
    scope.bind_user(1, "root")
    token = enter(scope)
    yield scope
    leave(token)


@pytest.fixture
def session(entries):
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            [
                User(id=1, username="root", is_admin=False),
                User(id=7, username="alice"),
                Role(id=3, name="editor", permissions=["read"]),
                Team(id=1, name="red"),
                Team(id=2, name="blue"),
                Setting(id=1, key="tax_rate", value="19"),
                Theme(id=1, color="red"),
            ]
        )
        session.commit()
        entries.clear()
        yield session
    engine.dispose()


def names(entries):
    return [entry["event.name"] for entry in entries]


def test_a_flag_is_told_whole(session, entries):
    """A flag that gives power: who, whom, old → new, although the commit before expired the attribute."""
    session.get(User, 7).is_admin = True
    assert entries == []
    session.commit()
    [entry] = entries
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_change",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "medium",
        "message": entry["message"],
        **{key: value for key, value in entry.items() if key.startswith(("service.", "deployment."))},
        "user.id": "1",
        "user.name": "root",
        "seclog.target.type": "User",
        "seclog.target.id": "7",
        "seclog.target.name": "alice",
        "seclog.change.field": "is_admin",
        "seclog.change.old": False,
        "seclog.change.new": True,
        "seclog.change.direction": "grant",
    }


def test_an_expired_attribute_has_its_old_value(session, entries):
    """After a commit the attribute is expired and assigned without being read."""
    alice = session.get(User, 7)
    alice.is_admin = True
    session.commit()
    entries.clear()
    alice.is_admin = False
    session.commit()
    [entry] = entries
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == (True, False)
    assert entry["seclog.change.direction"] == "revoke"


def test_the_same_value_is_no_change(session, entries):
    """An assignment that changes nothing is told nothing of, expired or not; nor is an unwatched column."""
    alice = session.get(User, 7)
    session.expire(alice)
    alice.is_admin = False
    alice.nickname = "al"
    session.commit()
    assert entries == []


def test_oneself_is_marked(session, entries):
    """Whoever gives power to themselves is marked."""
    session.get(User, 1).is_admin = True
    session.commit()
    assert entries[0]["seclog.self"] is True


@pytest.mark.parametrize("side", ["user", "role"])
def test_a_role_is_told_once_from_either_side(side, session, entries):
    """A role given by `user.roles` or by `role.users`, watched on both sides, is one entry."""
    alice, editor = session.get(User, 7), session.get(Role, 3)
    if side == "user":
        alice.roles.append(editor)
    else:
        editor.users.append(alice)
    session.commit()
    [entry] = entries
    assert entry["event.name"] == "group_member_added"
    assert (entry["seclog.target.id"], entry["seclog.group.name"]) == ("7", "editor")
    assert (entry["seclog.target.name"], entry["seclog.group.id"]) == ("alice", "3")
    entries.clear()
    if side == "user":
        alice.roles = []
    else:
        editor.users.remove(alice)
    session.commit()
    [entry] = entries
    assert (entry["event.name"], entry["seclog.target.id"], entry["seclog.group.name"]) == (
        "group_member_removed",
        "7",
        "editor",
    )


def test_a_new_role_has_its_key(session, entries):
    """A role created in the same flush is named with the key it got there."""
    alice = session.get(User, 7)
    alice.roles.append(Role(name="owner", permissions=[]))
    session.commit()
    [entry] = entries
    assert (entry["seclog.group.name"], entry["seclog.group.id"]) == ("owner", "4")


def test_a_scalar_relationship_is_told_by_name(session, entries):
    """A role that is a foreign key: the names, old → new."""
    alice = session.get(User, 7)
    alice.team = session.get(Team, 1)
    session.commit()
    alice.team = session.get(Team, 2)
    session.commit()
    alice.team_id = 1
    session.commit()
    session.execute(sa.update(User).where(User.id == 7).values(team_id=2))
    session.commit()
    assert [(e["seclog.change.old"], e["seclog.change.new"], e["seclog.change.direction"]) for e in entries] == [
        (None, "red", "grant"),
        ("red", "blue", "change"),
        ("blue", "red", "change"),
        ("red", "blue", "change"),
    ]
    assert {entry["seclog.change.field"] for entry in entries} == {"team"}


def test_a_user_created_with_power_is_told(session, entries):
    """A new user with a flag and a role: what power it starts with."""
    session.add(User(id=9, username="eve", is_admin=True, roles=[session.get(Role, 3)]))
    session.add(User(id=10, username="mallory"))
    session.commit()
    assert sorted(names(entries)) == ["authz_change", "group_member_added"]
    assert {entry["seclog.target.id"] for entry in entries} == {"9"}
    assert {entry["reason"] for entry in entries} == {"created"}


def test_a_deleted_user_loses_its_roles(session, entries):
    """A deleted user's power and roles are told as taken."""
    alice = session.get(User, 7)
    alice.is_admin, alice.roles = True, [session.get(Role, 3)]
    session.commit()
    entries.clear()
    session.delete(alice)
    session.commit()
    assert sorted(names(entries)) == ["authz_change", "group_member_removed"]
    assert {entry["reason"] for entry in entries} == {"deleted"}
    assert {entry["seclog.target.name"] for entry in entries} == {"alice"}


def test_permissions_of_a_role_are_told(session, entries):
    """What a role may do, old → new."""
    session.get(Role, 3).permissions = ["read", "write"]
    session.commit()
    [entry] = entries
    assert entry["event.name"] == "group_permissions_changed"
    assert (entry["seclog.group.id"], entry["seclog.group.name"]) == ("3", "editor")
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == (["read"], ["read", "write"])
    assert entry["seclog.change.direction"] == "grant"


def test_configuration_is_told_by_its_key(session, entries):
    """A table of keys and values: the key names what changed."""
    session.get(Setting, 1).value = "7"
    session.commit()
    [entry] = entries
    assert entry["event.name"] == "config_changed"
    assert entry["seclog.target.name"] == "Setting.tax_rate"
    assert (entry["seclog.change.old"], entry["seclog.change.new"]) == ("19", "7")
    assert entry["seclog.action"] == "change"


def test_secrets_are_masked(session, entries):
    """A secret column, a secret key's value, and a created row with a secret: nowhere."""
    secrets = [token_urlsafe() for _ in range(4)]
    session.get(Theme, 1).smtp_password = secrets[0]
    key = Setting(id=5, key="stripe_secret", value=secrets[1])
    session.add(key)
    session.add(Theme(id=3, color="green", smtp_password=secrets[2]))
    session.commit()
    key.value = secrets[3]
    session.commit()
    assert names(entries) == ["config_changed"] * 4
    assert not [secret for secret in secrets if secret in str(entries)]


def test_rows_of_configuration_are_told_created_and_deleted(session, entries):
    """A created and a deleted row, with its values."""
    session.add(Theme(id=2, color="blue"))
    session.commit()
    session.delete(session.get(Theme, 2))
    session.commit()
    assert [e["seclog.action"] for e in entries] == ["create", "delete"]
    assert entries[0]["seclog.change.new"]["color"] == entries[1]["seclog.change.old"]["color"] == "blue"


def test_a_computed_value_is_marked(session, entries):
    """A value that the database computes is not known without reading."""
    session.get(Theme, 1).color = sa.func.upper(Theme.color)
    session.commit()
    assert entries[0]["seclog.change.new"] == "[computed by the database]"


def test_a_rollback_leaves_nothing(session, entries):
    """What is rolled back did not happen, flushed or not; a closed session neither."""
    session.get(User, 7).is_admin = True
    session.flush()
    session.rollback()
    session.get(User, 7).is_admin = True
    session.flush()
    session.close()
    session.get(Team, 1)
    session.commit()
    assert entries == []


def test_a_savepoint_leaves_what_was_released(session, entries):
    """Of two savepoints the one that is rolled back leaves nothing; a nested one goes with the one around it."""
    with session.begin_nested():
        session.get(User, 7).is_admin = True
    point = session.begin_nested()
    session.get(Theme, 1).color = "gone"
    with session.begin_nested():
        session.get(Setting, 1).value = "gone"
    session.flush()
    point.rollback()
    assert entries == []
    session.commit()
    assert names(entries) == ["authz_change"]


def test_a_failed_flush_leaves_nothing(session, entries):
    """A flush that fails, alone or in a savepoint, leaves nothing, and the next commit is told as ever."""
    with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
        alice = session.get(User, 7)
        alice.is_admin = True
        alice.roles.append(session.get(Role, 3))
        session.add(Team(id=1, name="twice"))
    session.commit()
    session.get(Theme, 1).color = "blue"
    session.add(Team(id=1, name="twice"))
    with pytest.raises(sa.exc.IntegrityError):
        session.commit()
    session.rollback()
    session.get(Setting, 1).value = "8"
    session.commit()
    assert names(entries) == ["config_changed"]
    assert entries[0]["seclog.change.new"] == "8"


def test_the_scope_of_the_change_acts(session, entries, acting):
    """Who acted at the flush is told, not who commits."""
    session.get(User, 7).is_admin = True
    session.flush()
    token = enter(None)
    session.commit()
    leave(token)
    assert entries[0]["user.id"] == "1"


def test_an_unknown_name_is_refused_at_start():
    """A wrong name or family is loud at start-up."""
    with pytest.raises(ValueError, match="no mapped attribute 'is_root'"):
        adapter.watch(User, "is_root", family="role")
    with pytest.raises(ValueError, match="family must be"):
        adapter.watch(User, "is_admin", family="powers")


def test_watching_twice_tells_once(session, entries):
    """The same call again, or another one for the same model, adds names and doubles nothing."""
    adapter.watch(User, "is_admin", family="role")
    adapter.watch(User, "nickname", family=4)
    alice = session.get(User, 7)
    alice.is_admin, alice.nickname = True, "boss"
    session.commit()
    assert sorted(e["seclog.change.field"] for e in entries) == ["is_admin", "nickname"]
