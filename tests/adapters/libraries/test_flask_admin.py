"""Flask-Admin on SQLAlchemy: rows, actions, exports, refused views."""

import importlib.util

import pytest

pytest.importorskip("flask_admin")

import sqlalchemy as sa
from flask import Flask, redirect, session
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from sqlalchemy.orm import DeclarativeBase, mapped_column, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from conftest import whole
from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_admin

pytestmark = pytest.mark.filterwarnings("ignore:Passing a session object:DeprecationWarning")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id = mapped_column(sa.Integer, primary_key=True)
    note = mapped_column(sa.String(50))
    total = mapped_column(sa.Integer)


class View(ModelView):
    can_export = True
    column_list = ("note", "total")

    def is_accessible(self):
        return session.get("user_id") == 7

    def inaccessible_callback(self, name, **kwargs):
        return redirect("/elsewhere")

    def after_model_change(self, form, model, is_created):
        """Overridden without super, as apps do."""


@pytest.fixture
def client(entries):
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    db = scoped_session(sessionmaker(engine))
    db.add_all([Order(id=number, note="old", total=1) for number in (1, 2, 3)])
    db.commit()
    app = Flask(__name__)
    app.secret_key = "x" * 32
    if importlib.util.find_spec("flask_babel"):  # Flask-Admin takes its words from it where it is installed
        importlib.import_module("flask_babel").Babel(app)
    Admin(app).add_view(View(Order, db))

    @app.get("/in/<int:key>")
    def enter(key):
        session["user_id"] = key
        return "in"

    SecLog(app)
    flask_admin.connect(app)
    flask_admin.connect(app)
    client = app.test_client()
    client.get("/in/7")
    entries.clear()
    yield client
    db.remove()
    engine.dispose()


def test_a_created_row_is_told_whole(client, entries):
    """Who created which row."""
    client.post("/admin/order/new/", data={"note": "new", "total": "5"})
    [entry] = entries
    assert entry["event.name"] == "authz_admin"
    assert {k: v for k, v in whole(entry).items() if k.startswith(("seclog.a", "seclog.t", "seclog.c", "user."))} == {
        "user.id": "7",
        "seclog.action": "create",
        "seclog.target.type": "Order",
        "seclog.target.id": "4",
        "seclog.count": 1,
    }


def test_a_changed_row_names_its_fields(client, entries):
    """Which fields changed, not to what."""
    client.post("/admin/order/edit/?id=1", data={"note": "changed", "total": "1"})
    [entry] = entries
    assert (entry["seclog.action"], entry["seclog.target.id"]) == ("change", "1")
    assert entry["seclog.change.field"] == ["note"]


def test_a_deleted_row_is_told(client, entries):
    """One row by its own button."""
    client.post("/admin/order/delete/", data={"id": "2"})
    assert [(e["seclog.action"], e["seclog.target.id"]) for e in entries] == [("delete", "2")]


def test_an_action_is_told_once(client, entries):
    """Many rows at once are one entry; an unknown action is none."""
    client.post("/admin/order/action/", data={"action": "delete", "rowid": ["1", "3"]})
    client.post("/admin/order/action/", data={"action": "explode", "rowid": ["1", "3"]})
    [entry] = entries
    assert (entry["seclog.action"], entry["seclog.target.id"], entry["seclog.count"]) == ("delete", ["1", "3"], 2)


def test_an_export_is_told(client, entries):
    """What was exported, how many rows, in which format."""
    client.get("/admin/order/export/csv/").close()
    entry = next(e for e in entries if e["event.name"] == "data_export")
    assert (entry["seclog.target.type"], entry["seclog.count"], entry["seclog.format"]) == ("Order", 3, "csv")
    assert entry["user.id"] == "7"


def test_a_refused_view_is_told(client, entries):
    """A redirect to somewhere is a refusal, of a user or of nobody."""
    client.get("/in/8")
    entries.clear()
    client.get("/admin/order/")
    client.application.test_client().get("/admin/order/")
    assert [(e["event.name"], e["reason"]) for e in entries] == [
        ("authz_fail", "permission_denied"),
        ("authz_unauthenticated", "login_required"),
    ]
    assert entries[0]["seclog.view"].endswith("View.index_view")
