"""In a Flask app with Flask-Login: who acts is told, and nothing is read for it after the commit."""

import pytest

pytest.importorskip("flask_login")

import sqlalchemy as sa
from flask import Flask, request
from flask_login import LoginManager, UserMixin, login_required, login_user
from sqlalchemy.orm import DeclarativeBase, mapped_column, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_login
from seclog.adapters.sqlalchemy import forget, watch


class Base(DeclarativeBase):
    pass


class Person(Base, UserMixin):
    __tablename__ = "people"
    id = mapped_column(sa.Integer, primary_key=True)
    username = mapped_column(sa.String)
    is_active = mapped_column(sa.Boolean, default=True)
    is_admin = mapped_column(sa.Boolean, default=False)


@pytest.fixture
def statements():
    return []


@pytest.fixture
def client(entries, statements):
    watch(Person, "is_admin", family="role")
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    db = scoped_session(sessionmaker(engine))
    db.add_all([Person(id=1, username="root"), Person(id=2, username="alice")])
    db.commit()
    app = Flask(__name__)
    app.secret_key = "x" * 32
    LoginManager(app).user_loader(lambda key: db.get(Person, int(key)))
    app.teardown_appcontext(lambda error: db.remove())

    @app.post("/login")
    def login():
        login_user(db.get(Person, 1))
        return "in"

    @app.post("/people/<int:key>")
    @login_required
    def promote(key):
        db.get(Person, key).is_admin = "yes" in request.form
        if "refuse" in request.form:
            db.rollback()
        db.commit()
        return "done"

    SecLog(app)
    flask_login.connect(app)
    client = app.test_client()
    client.post("/login")
    entries.clear()
    sa.event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    sa.event.listen(engine, "commit", lambda *given: statements.append("COMMIT"))
    yield client
    forget()
    db.remove()
    engine.dispose()


def test_who_acts_is_told_without_a_query(client, entries, statements):
    """The acting user's row is expired by the commit, and is not read again for the entry."""
    client.post("/people/2", data={"yes": "1"})
    [entry] = entries
    assert (entry["event.name"], entry["user.id"], entry["seclog.target.id"]) == ("authz_change", "1", "2")
    assert (entry["http.route"], entry["seclog.target.name"]) == ("/people/<int:key>", "alice")
    assert statements[-1] == "COMMIT"
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT", "UPDATE", "COMMIT"]


def test_a_rolled_back_request_leaves_nothing(client, entries):
    """Assigned, rolled back, committed empty: nothing."""
    client.post("/people/2", data={"yes": "1", "refuse": "1"})
    assert entries == []
