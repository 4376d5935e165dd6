"""Flask-Principal and Flask-WTF: a missing permission is a refusal, not a fault; a missing CSRF token is an attack."""

import pytest

pytest.importorskip("flask_principal")
pytest.importorskip("flask_wtf")

from flask import Flask, session
from flask_principal import Permission, Principal, RoleNeed
from flask_wtf import CSRFProtect, FlaskForm
from wtforms import StringField

from seclog.adapters.flask import SecLog
from seclog.adapters.integrations import flask_principal, flask_wtf


@pytest.fixture
def app(entries):
    app = Flask(__name__)
    app.secret_key = "x" * 32
    Principal(app)

    @app.get("/in")
    def enter():
        session["user_id"] = 7
        return "in"

    @app.get("/bare")
    @Permission(RoleNeed("admin")).require()
    def bare():
        return "admin"

    @app.get("/coded")
    @Permission(RoleNeed("admin")).require(403)
    def coded():
        return "admin"

    class Form(FlaskForm):
        name = StringField()

    @app.post("/form")
    def form():
        return "ok" if Form().validate_on_submit() else ("no", 200)

    SecLog(app)
    flask_principal.connect(app)
    flask_wtf.connect(app)
    return app


@pytest.fixture
def client(app, entries):
    client = app.test_client()
    client.get("/in")
    entries.clear()
    return client


@pytest.mark.parametrize("path", ["/bare", "/coded"])
def test_a_missing_permission_is_a_refusal(path, client, entries):
    """With a code or without one (a 500): one entry, with what would have been needed."""
    client.get(path)
    [entry] = entries
    assert (entry["event.name"], entry["reason"], entry["user.id"]) == ("authz_fail", "permission_denied", "7")
    assert entry["seclog.permission"] == "role:admin"


def test_nobody_is_unauthenticated(app, client, entries):
    """Somebody who is not logged in would have to say who they are."""
    app.test_client().get("/bare")
    assert [e["event.name"] for e in entries] == ["authz_unauthenticated"]


def test_a_form_without_its_token_is_told(client, entries):
    """A form's own check answers 200."""
    assert client.post("/form", data={"name": "x"}).status_code == 200
    assert [(e["event.name"], e["reason"]) for e in entries] == [("malicious_csrf", "token_missing")]


def test_the_app_wide_check_is_told(entries):
    """`CSRFProtect` answers 400: one entry."""
    app = Flask("protected")
    app.secret_key = "x" * 32
    CSRFProtect(app)
    app.add_url_rule("/", "index", lambda: "ok", methods=["GET", "POST"])
    SecLog(app)
    flask_wtf.connect(app)
    client = app.test_client()
    client.get("/")
    entries.clear()
    assert client.post("/", data={"csrf_token": "forged"}).status_code == 400
    [entry] = entries
    assert entry["event.name"] == "malicious_csrf"


def test_a_lost_name_costs_one_hook(entries, monkeypatch, caplog):
    """A library that renamed what we hook: one warning with library, version and hook; the others work."""
    monkeypatch.delattr("flask_wtf.csrf.CSRFProtect._error_response")
    flask_wtf.connect(Flask("other"))
    flask_wtf.connect(Flask("other"))
    [told] = [record.getMessage() for record in caplog.records if record.name == "seclog.internal"]
    assert told.startswith("seclog: Flask-WTF 1.")
    assert "flask_wtf.csrf.CSRFProtect._error_response" in told
