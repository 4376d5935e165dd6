"""sqladmin on SQLAlchemy: logins, rows, exports; who acts is the admin's user."""

from secrets import token_urlsafe

import pytest

pytest.importorskip("sqladmin")

import sqlalchemy as sa
from sqladmin import Admin, ModelView
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.testclient import TestClient

from adapters.libraries_door import Door
from seclog.adapters.asgi import SecurityEventMiddleware
from seclog.adapters.integrations import sqladmin as integration

PASSWORD = token_urlsafe()


class Base(DeclarativeBase):
    pass


class Parcel(Base):
    __tablename__ = "parcels"
    id = mapped_column(sa.Integer, primary_key=True)
    note = mapped_column(sa.String(50))


class View(ModelView, model=Parcel):
    column_list = ["id", "note"]
    can_export = True


class Guard(AuthenticationBackend):
    async def login(self, request):
        form = await request.form()
        if form["password"] != PASSWORD:
            return False
        request.session["user_id"] = 7
        return True

    async def logout(self, request):
        request.session.clear()
        return True

    async def authenticate(self, request):
        return "user_id" in request.session


@pytest.fixture
def client(entries):
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    app = Starlette()
    Admin(app, engine, authentication_backend=Guard(secret_key=token_urlsafe())).add_view(View)
    integration.connect()
    integration.connect()
    with TestClient(Door(app), follow_redirects=False) as client:
        yield client
    engine.dispose()


def test_logins_are_told(client, entries):
    """The app's own class decides; both ways are told."""
    client.post("/admin/login", data={"username": "root", "password": "wrong"})
    client.post("/admin/login", data={"username": "root", "password": PASSWORD})
    failed, succeeded = entries
    assert (failed["event.name"], failed["reason"]) == ("authn_login_fail", "invalid_credentials")
    assert (succeeded["event.name"], succeeded["user.id"], succeeded["user.name"]) == (
        "authn_login_success",
        "7",
        "root",
    )
    assert PASSWORD not in str(entries)


def test_rows_and_exports_are_told(client, entries):
    """Created, changed, deleted, exported: by whom, which row."""
    client.post("/admin/login", data={"username": "root", "password": PASSWORD})
    entries.clear()
    client.post("/admin/parcel/create", data={"note": "new"})
    client.post("/admin/parcel/edit/1", data={"note": "changed"})
    client.get("/admin/parcel/export/csv")
    client.delete("/admin/parcel/delete?pks=1")
    told = [(e["event.name"], e.get("seclog.action"), e.get("seclog.target.id")) for e in entries]
    assert told == [
        ("authz_admin", "create", "1"),
        ("authz_admin", "change", "1"),
        ("data_export", None, None),
        ("authz_admin", "delete", "1"),
    ]
    assert {e["user.id"] for e in entries} == {"7"}
    assert entries[2]["seclog.count"] == 1


def test_the_asgi_door_tells_of_an_exports_file_as_well(client, entries):
    """With the real adapter: what was exported, and the file that left, as at every door."""
    with TestClient(SecurityEventMiddleware(client.app.app), follow_redirects=False) as real:
        real.post("/admin/login", data={"username": "root", "password": PASSWORD})
        entries.clear()
        assert "attachment" in real.get("/admin/parcel/export/csv").headers["content-disposition"]
    assert [e["event.name"] for e in entries if not e["event.name"].startswith("sys_")] == [
        "data_export",
        "data_download",
    ]
