"""Family 1 in Flask without a library: the heuristic, what it tells, and what it leaves alone."""

import pytest
from flask import Response, jsonify, redirect, request, session

import seclog
from conftest import whole

RIGHT = {"username": "bob", "password": "right"}
WRONG = {"username": "bob", "password": "wrong"}


def by_form(app, path="/login", endpoint="login", fail=lambda: "<form>", key="user_id", value=7):
    """Put a login by form on the app."""

    def view(**about):
        if request.method == "POST":
            if request.form["password"] == "right":
                session[key] = value
                return redirect("/")
            return fail()
        return "<form>"

    app.add_url_rule(path, endpoint, view, methods=["GET", "POST"])


def test_a_login_as_a_whole(app, client, told):
    """A login is one entry, and the session that begins with it another."""
    by_form(app)
    client.post("/login", data=RIGHT, headers={"User-Agent": "Firefox", "Accept-Language": "de"})
    login, created = told()
    for entry in (login, created):
        for name in ("service.name", "deployment.environment.name"):
            entry.pop(name, None)
    context = {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "user.id": "7",
        "user.name": "bob",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "/login",
        "url.path": "/login",
        "http.response.status_code": 302,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
    }
    assert whole(login) == context | {
        "event.name": "authn_login_success",
        "message": "Login succeeded",
        "seclog.auth.method": "password",
        "seclog.detected_by": "heuristic",
        "seclog.device.accept_language": "de",
    }
    assert whole(created) == context | {"event.name": "session_created", "message": "Session created"}


def test_a_failed_login_as_a_whole(app, client, told):
    """A failed login is one entry; whether the name exists is not known, so it is a pseudonym."""
    by_form(app)
    client.post("/login", data=WRONG, headers={"User-Agent": "Firefox"})
    [entry] = told()
    for name in ("service.name", "deployment.environment.name"):
        entry.pop(name, None)
    assert entry.pop("user.name").startswith("unknown:")
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authn_login_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Login failed",
        "reason": "invalid_credentials",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "POST",
        "http.route": "/login",
        "url.path": "/login",
        "http.response.status_code": 200,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
        "seclog.auth.method": "password",
        "seclog.detected_by": "heuristic",
    }


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [("/x", "do_login"), ("/x", "LoginView"), ("/sign-in", "x"), ("/auth/logon/", "x"), ("/login/<realm>", "x")],
)
def test_what_is_called_like_a_login(app, client, names, path, endpoint):
    """Endpoint or path tell what is a login."""
    by_form(app, path, endpoint)
    client.post(path.replace("<realm>", "corp"), data=WRONG)
    assert names() == ["authn_login_fail"]


@pytest.mark.parametrize(
    ("path", "endpoint"), [("/x", "y"), ("/blog/in", "blog_in"), ("/logout", "logout"), ("/loginov", "v")]
)
def test_what_is_not(app, client, names, path, endpoint):
    """Other forms with a password are left alone."""
    by_form(app, path, endpoint)
    client.post(path, data=WRONG)
    assert names() == []


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refusal_by_status(app, client, told, status):
    """A login that answers with an error is a failed one; the refused request is told as well, as everywhere."""
    by_form(app, fail=lambda: ("no", status))
    client.post("/login", data=WRONG)
    assert told()[0]["event.name"] == "authn_login_fail"


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_errors_that_say_nothing_about_the_password(app, client, names, status):
    """Whatever else goes wrong is no failed login."""
    by_form(app, fail=lambda: ("no", status))
    client.post("/login", data=WRONG)
    assert "authn_login_fail" not in names()


def test_back_to_the_login(app, client, names):
    """An app that redirects to its own form again has refused."""
    by_form(app, fail=lambda: redirect("/login?failed=1"))
    client.post("/login", data=WRONG)
    assert names() == ["authn_login_fail"]


def test_on_to_a_second_factor(app, client, names):
    """A redirect elsewhere without a user is neither."""
    by_form(app, fail=lambda: redirect("/login/code"))
    client.post("/login", data=WRONG)
    assert names() == []


def test_a_login_by_json(app, client, names):
    """A JSON answer with status 200 tells nothing; one with 401 does."""
    statuses = iter([200, 401])

    @app.post("/api/login")
    def login():
        request.get_json()
        return jsonify(ok=False), next(statuses)

    client.post("/api/login", json=WRONG)
    assert names() == []
    client.post("/api/login", json=WRONG)
    assert names() == ["authn_login_fail", "authz_unauthenticated"]


def test_a_form_that_the_app_never_read(app, client, names):
    """What was refused before anybody looked at the form was no attempt that could be told."""
    app.add_url_rule("/login", "login", lambda: ("closed", 403), methods=["POST"])
    client.post("/login", data=WRONG)
    assert names() == ["authz_fail"]


def test_an_empty_password(app, client, told):
    """A form without a password is an attempt too."""
    by_form(app)
    client.post("/login", data={"username": "bob", "password": ""})
    assert told()[0]["reason"] == "incomplete_credentials"


def test_forms_with_a_prefix(app, client, told):
    """WTForms may put a prefix before its names."""

    @app.post("/login")
    def login():
        return request.form["login-password"]

    client.post("/login", data={"login-email": "bob@example.org", "login-password": "x"})
    assert told()[0]["user.name"].startswith("unknown:")


@pytest.mark.parametrize(
    ("key", "value", "user_id", "user_name"),
    [
        ("_user_id", "7", "7", "bob"),
        ("uid", 7, "7", "bob"),
        ("id", 7, "7", "bob"),
        ("username", "bobby", "bobby", "bobby"),
        ("user", {"id": 7, "username": "bobby"}, "7", "bobby"),
        ("user", {"sub": "abc", "email": "b@x.io"}, "abc", "b@x.io"),
    ],
)
def test_where_apps_keep_their_user(app, client, told, key, value, user_id, user_name):
    """The usual keys of a session, and a whole user under one of them."""
    by_form(app, key=key, value=value)
    client.post("/login", data=RIGHT)
    login, _ = told()
    assert (login["user.id"], login["user.name"]) == (user_id, user_name)


def test_an_own_key(make_app, told):
    """An app may name its own key; the usual ones do not count then."""
    app = make_app(session_user_key="member")
    by_form(app, key="member", value="m-1")
    client = app.test_client()
    client.post("/login", data=RIGHT)
    assert told()[0]["user.id"] == "m-1"


def test_turned_off(make_app, names):
    """The heuristic can be turned off; sessions are told all the same."""
    app = make_app(login_heuristic=False)
    by_form(app)
    client = app.test_client()
    client.post("/login", data=WRONG)
    client.post("/login", data=RIGHT)
    assert names() == ["session_created"]


def test_calls_go_first(app, client, told):
    """What the app tells by a call is not told again."""

    @app.post("/login")
    def login():
        if request.form["password"] == "right":
            session["user_id"] = 7
            seclog.login_succeeded(7, "bob", method="ldap")
            return redirect("/")
        seclog.login_failed("bob", "locked", user_id=7)
        return "<form>"

    client.post("/login", data=WRONG)
    client.post("/login", data=RIGHT)
    found = [(entry["event.name"], entry.get("seclog.auth.method"), entry.get("reason")) for entry in told()]
    assert found == [
        ("authn_login_fail", None, "locked"),
        ("authn_login_success", "ldap", None),
        ("session_created", None, None),
    ]


def test_a_second_login_as_another_user(app, client, told):
    """Who logs in over another's session is told as who they are now."""
    users = iter([7, 8])

    @app.post("/login")
    def login():
        session["user_id"] = next(users) if request.form["password"] == "right" else 0
        return redirect("/")

    client.post("/login", data=RIGHT)
    told()
    client.post("/login", data=RIGHT)
    assert [(entry["event.name"], entry["user.id"]) for entry in told()] == [
        ("authn_login_success", "8"),
        ("session_created", "8"),
    ]


def test_a_failure_beside_somebody_who_is_logged_in(app, client, told):
    """The entry's user is who was tried; who is logged in stands beside."""
    by_form(app, fail=lambda: ("no", 401))
    client.post("/login", data=RIGHT)
    told()
    client.post("/login", data=WRONG)
    entry = told()[0]
    assert entry["user.name"].startswith("unknown:") and "user.id" not in entry
    assert entry["seclog.session.user_id"] == "7"


def test_a_csrf_failure_is_no_failed_login(app, client, names):
    """Flask-WTF refuses the form before anybody looks at the password."""
    from werkzeug.exceptions import BadRequest

    class CSRFError(BadRequest):
        pass

    @app.before_request
    def protect():
        if request.form.get("username"):
            raise CSRFError

    by_form(app)
    client.post("/login", data=WRONG)
    assert names() == ["api_client_error"]


def test_an_async_view(app, client, names):
    """Async views log in as well."""

    @app.post("/login")
    async def login():
        if request.form["password"] == "right":
            session["user_id"] = 7
            return redirect("/")
        return Response("<form>")

    client.post("/login", data=WRONG)
    client.post("/login", data=RIGHT)
    assert names() == ["authn_login_fail", "authn_login_success", "session_created"]
