"""Bulk updates and deletes, and async sessions: the same facts by another way."""

import asyncio
import subprocess
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship

from seclog.adapters import sqlalchemy as adapter
from seclog.adapters.sqlalchemy import bulk
from seclog.context import Scope, enter, leave


class Base(DeclarativeBase):
    pass


members = sa.Table(
    "members",
    Base.metadata,
    sa.Column("account_id", sa.ForeignKey("accounts.id"), primary_key=True),
    sa.Column("power_id", sa.ForeignKey("powers.id"), primary_key=True),
)


class Account(Base):
    __tablename__ = "accounts"
    id = mapped_column(sa.Integer, primary_key=True)
    email = mapped_column(sa.String)
    level = mapped_column("account_level", sa.Integer, default=0)
    powers = relationship("Power", secondary=members)


class Power(Base):
    __tablename__ = "powers"
    id = mapped_column(sa.Integer, primary_key=True)
    name = mapped_column(sa.String)


class Option(Base):
    __tablename__ = "options"
    part = mapped_column(sa.String, primary_key=True)
    number = mapped_column(sa.Integer, primary_key=True)
    text = mapped_column(sa.String)


@pytest.fixture(autouse=True)
def _watched():
    adapter.watch(Account, "level", "powers", family="role")
    adapter.watch(Option, family="config")
    scope = Scope()
    scope.bind_user(1, "root")
    token = enter(scope)
    yield
    leave(token)
    adapter.forget()


def rows():
    return [
        Account(id=1, email="a@x.io", level=0),
        Account(id=2, email="b@x.io", level=5),
        Power(id=1, name="owner"),
        Option(part="mail", number=1, text="one"),
        Option(part="mail", number=2, text="two"),
    ]


@pytest.fixture
def session(entries):
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(rows())
        session.commit()
        entries.clear()
        yield session
    engine.dispose()


def changes(entries):
    return [(e["seclog.target.id"], e["seclog.change.old"], e["seclog.change.new"]) for e in entries]


def test_a_bulk_update_is_told_row_by_row(session, entries):
    """`update(Model)` never comes to a flush: the rows that change are told, the others not."""
    session.execute(sa.update(Account).where(Account.level >= 0).values(level=5))
    assert entries == []
    session.commit()
    assert changes(entries) == [("1", 0, 5)]
    assert (entries[0]["event.name"], entries[0]["seclog.target.name"]) == ("authz_change", "a@x.io")
    assert (entries[0]["user.id"], entries[0]["seclog.change.field"]) == ("1", "level")


def test_an_expression_is_told_with_its_result(session, entries):
    """What the database computes is read after the update."""
    session.execute(sa.update(Account).values({Account.level: Account.level + 1}))
    session.commit()
    assert changes(entries) == [("1", 0, 1), ("2", 5, 6)]


def test_a_query_update_is_told(session, entries):
    """The older `Query.update` and `Query.delete` end at the same place."""
    session.query(Account).filter_by(id=1).update({"level": 9})
    session.query(Option).filter_by(number=2).delete()
    session.commit()
    assert [e["event.name"] for e in entries] == ["authz_change", "config_changed"]


def test_an_update_by_primary_key_is_told(session, entries):
    """A list of rows with their keys."""
    session.execute(sa.update(Account), [{"id": 1, "level": 2}, {"id": 2, "level": 3}])
    session.commit()
    assert changes(entries) == [("1", 0, 2), ("2", 5, 3)]


def test_bound_parameters_find_the_rows(session, entries):
    """Conditions whose values come with the call."""
    statement = sa.update(Account).where(Account.id == sa.bindparam("who")).values(level=8)
    session.execute(statement, {"who": 2})
    session.commit()
    assert changes(entries) == [("2", 5, 8)]


def test_a_bulk_delete_is_told(session, entries):
    """`delete(Model)`: rows of configuration with their values, power as taken."""
    session.execute(sa.delete(Option).where(Option.number == 1))
    session.execute(sa.delete(Account))
    session.commit()
    gone, taken = entries
    assert (gone["event.name"], gone["seclog.action"]) == ("config_changed", "delete")
    assert gone["seclog.target.id"] == "mail,1"
    assert gone["seclog.change.old"] == {"text": "one"}
    assert (taken["event.name"], taken["reason"], taken["seclog.change.old"]) == ("authz_change", "deleted", 5)


def test_a_bulk_insert_is_told(session, entries):
    """`insert(Model)`: the power that the new rows start with, given as a list or in the statement."""
    session.execute(
        sa.insert(Account), [{"id": 8, "email": "h@x.io", "level": 9}, {"id": 9, "email": "i@x.io", "level": 0}]
    )
    session.execute(sa.insert(Account).values(email="j@x.io", level=3))
    session.execute(sa.insert(Option).values([{"part": "web", "number": 1, "text": "new"}]))
    session.commit()
    first, second, third = entries
    assert (first["seclog.target.id"], first["seclog.target.name"], first["seclog.change.new"]) == ("8", "h@x.io", 9)
    assert (second["seclog.target.name"], second["seclog.change.new"]) == ("j@x.io", 3)
    assert (third["seclog.action"], third["seclog.target.id"]) == ("create", "web,1")


@pytest.mark.contains_errors
def test_an_error_of_ours_does_not_reach_the_app(session, entries, monkeypatch):
    """Whatever fails in a hook, the app's flush and its bulk statements go through."""

    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    for module in ("flush", "bulk"):
        monkeypatch.setattr(f"seclog.adapters.sqlalchemy.{module}.column_event", broken)
    session.get(Account, 1).level = 3
    session.execute(sa.update(Account).where(Account.id == 2).values(level=7))
    session.commit()
    assert session.scalars(sa.select(Account.level).order_by(Account.id)).all() == [3, 7]
    assert entries == []


def test_many_rows_are_counted(session, entries, monkeypatch):
    """Beyond the limit the rest is a number."""
    monkeypatch.setattr(bulk, "MAX_ROWS", 1)
    session.execute(sa.update(Account).values(level=7))
    session.commit()
    assert changes(entries[:1]) == [("1", 0, 7)]
    assert entries[1]["seclog.count"] == 1


def test_other_columns_and_models_cost_no_query(session, entries):
    """A bulk update of nothing watched is left alone."""
    statements = []
    sa.event.listen(session.get_bind(), "before_cursor_execute", lambda *a: statements.append(a[2]))
    session.execute(sa.update(Account).values(email="x"))
    session.execute(sa.update(Power).values(name="x"))
    session.commit()
    assert (len(statements), entries) == (2, [])


def test_what_is_rolled_back_is_not_told(session, entries):
    """A bulk update that is rolled back, or that fails, did not happen."""
    session.execute(sa.update(Account).values(level=7))
    session.rollback()
    with pytest.raises(sa.exc.IntegrityError):
        session.execute(sa.update(Option).values(part="mail", number=1))
    session.rollback()
    session.commit()
    assert entries == []


def test_an_async_session_is_told(entries):
    """The same in the event loop: a flush of an expired attribute, a relationship, a bulk update; after the commit."""

    async def work():
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add_all(rows())
            await session.commit()
            entries.clear()
            first = await session.get(Account, 1, options=[sa.orm.selectinload(Account.powers)])
            first.powers.append(await session.get(Power, 1))
            await session.commit()
            first.level = 3  # expired by now: with active_history this would raise MissingGreenlet
            await session.flush()
            assert [e["event.name"] for e in entries] == ["group_member_added"]
            await session.commit()
            await session.execute(sa.update(Account).where(Account.id == 2).values(level=6))
            await session.rollback()
            await session.execute(sa.update(Account).where(Account.id == 2).values(level=4))
            await session.commit()
        await engine.dispose()

    asyncio.run(work())
    assert [e["event.name"] for e in entries] == ["group_member_added", "authz_change", "authz_change"]
    assert changes(entries[1:]) == [("1", 0, 3), ("2", 5, 4)]
    assert {e["user.id"] for e in entries} == {"1"}


def test_a_missing_library_says_how_to_install_it():
    """Without SQLAlchemy the message is the command."""
    code = "import sys; sys.modules['sqlalchemy'] = None\nimport seclog.adapters.sqlalchemy"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "seclog[sqlalchemy]"' in done.stderr
