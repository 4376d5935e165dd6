"""Families 6 and 7 in Flask: what was refused and what went wrong, and the ways in which Flask hides it."""

import io

import pytest
from flask import Blueprint, Response, abort, jsonify, redirect, request
from werkzeug.exceptions import HTTPException

from conftest import whole


class Boom(Exception):
    pass


def test_a_refusal_as_a_whole(app, client, told):
    """A refused request is one entry with its view, its route and its context."""
    app.add_url_rule("/orders/<int:pk>", "order", lambda pk: abort(403, "no way"))
    client.get("/orders/7", headers={"User-Agent": "Firefox"})
    [entry] = told()
    view = entry.pop("seclog.view")
    assert view.startswith(f"{__name__}.test_a_refusal_as_a_whole") and view.endswith("<lambda>")
    entry.pop("service.name")
    entry.pop("deployment.environment.name", None)
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "authz_fail",
        "event.id": "<id>",
        "event.outcome": "failure",
        "severity": "medium",
        "message": "Access denied",
        "reason": "permission_denied",
        "client.address": "127.0.0.1",
        "user_agent.original": "Firefox",
        "http.request.method": "GET",
        "http.route": "/orders/<int:pk>",
        "url.path": "/orders/7",
        "http.response.status_code": 403,
        "seclog.request.id": "<request id>",
        "seclog.duration_ms": "<ms>",
    }


@pytest.mark.parametrize("name", ["authz_fail", "authz_unauthenticated"])
def test_an_error_handler_that_hides_a_refusal(app, client, told, name):
    """A handler may answer 200 to a refusal: it was one all the same."""
    code = 403 if name == "authz_fail" else 401
    app.add_url_rule("/", "home", lambda: abort(code))
    app.errorhandler(code)(lambda error: ("nothing to see", 200))
    assert client.get("/").status_code == 200
    [entry] = told()
    assert (entry["event.name"], entry["http.response.status_code"]) == (name, 200)


def test_an_error_handler_that_makes_200_of_404(app, client, told):
    """A page for whatever is not there (a single-page app) is no error."""
    app.errorhandler(404)(lambda error: ("the app", 200))
    assert client.get("/nowhere").status_code == 200
    assert told() == []


def test_an_error_handler_that_hides_the_method(app, client, names):
    """A 405 stays one, whatever the handler makes of it."""
    app.add_url_rule("/", "home", lambda: "home")
    app.errorhandler(405)(lambda error: ("the app", 200))
    client.post("/")
    assert names() == ["http_method_unexpected"]


def test_before_request_refuses(app, client, told):
    """A `before_request` function that answers 403 raises nothing."""
    app.before_request(lambda: ("blocked", 403))
    app.add_url_rule("/", "home", lambda: "home")
    client.get("/")
    [entry] = told()
    assert (entry["event.name"], entry["reason"]) == ("authz_fail", "forbidden")


def test_abort_with_a_response(app, client, told):
    """`abort(response)` is told by its status."""
    app.add_url_rule("/", "home", lambda: abort(Response("no", 403)))
    client.get("/")
    [entry] = told()
    assert (entry["event.name"], entry["reason"]) == ("authz_fail", "forbidden")


@pytest.mark.parametrize("setting", ["TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
def test_an_exception_that_is_raised_through_the_server(app, client, told, setting):
    """In tests and in debug mode there is no response: the entry is the same, and the exception goes on."""

    @app.get("/boom")
    def boom():
        raise Boom("secret text")

    app.config[setting] = True
    with pytest.raises(Boom):
        client.get("/boom?page=3")
    [entry] = told()
    assert entry["event.name"] == "app_unhandled_exception"
    assert entry["error.type"] == f"{__name__}.Boom"
    assert (entry["http.response.status_code"], entry["http.route"]) == (500, "/boom")
    assert entry["seclog.params_censored"] == {"query": {"page": "3"}}
    assert "secret text" not in str(entry)


def test_an_exception_whose_error_page_answers_200(app, client, told):
    """An unhandled exception is one, whatever the app's page for it says."""
    app.add_url_rule("/", "home", lambda: 1 // 0)
    app.errorhandler(500)(lambda error: ("sorry", 200))
    assert client.get("/").status_code == 200
    [entry] = told()
    assert (entry["event.name"], entry["error.type"]) == ("app_unhandled_exception", "ZeroDivisionError")


def test_an_after_request_function_that_raises(app, client, told):
    """Flask sends no `request_finished` then; the entry is there, once."""
    app.add_url_rule("/", "home", lambda: "home")

    @app.after_request
    def broken(response):
        raise Boom

    assert client.get("/").status_code == 500
    [entry] = told()
    assert (entry["event.name"], entry["error.type"]) == ("app_unhandled_exception", f"{__name__}.Boom")
    assert entry["http.response.status_code"] == 500


def test_an_error_handler_that_raises(app, client, told):
    """What an error handler raises is what happened."""
    app.add_url_rule("/", "home", lambda: abort(404))

    @app.errorhandler(404)
    def broken(error):
        raise Boom

    assert client.get("/").status_code == 500
    [entry] = told()
    assert (entry["event.name"], entry["error.type"]) == ("app_unhandled_exception", f"{__name__}.Boom")


def test_a_teardown_function_that_raises(app, client, names):
    """The response was made by then; the server gets the exception."""
    app.add_url_rule("/", "home", lambda: "home")

    @app.teardown_request
    def broken(error):
        raise Boom

    with pytest.raises(Boom):
        client.get("/")
    assert names() == ["app_unhandled_exception"]


def test_an_exception_that_the_app_answers_as_a_conflict(app, client, told):
    """An exception that a handler turns into a client error names its class."""
    app.add_url_rule("/", "home", lambda: {}["missing"])
    app.errorhandler(KeyError)(lambda error: (jsonify(error="conflict"), 409))
    client.get("/")
    [entry] = told()
    assert (entry["event.name"], entry["reason"], entry["error.type"]) == ("api_client_error", "conflict", "KeyError")


def test_a_missing_form_field(app, client, told):
    """Flask answers 400 to a form field that is not there; what was sent stands in the entry."""

    @app.post("/")
    def home():
        return request.form["colour"]

    client.post("/", data={"size": "3", "password": "hunter2"})
    [entry] = told()
    assert (entry["event.name"], entry["http.response.status_code"]) == ("api_client_error", 400)
    assert entry["seclog.params_censored"] == {"form": {"size": "3", "password": "[redacted]"}}
    assert entry["error.type"] == "werkzeug.exceptions.BadRequestKeyError"


def test_an_uploaded_file(app, client, told):
    """Of a file only name, size and type; the app can still read it."""

    @app.post("/")
    def home():
        assert request.files["picture"].stream.read(2) == b"ab"
        abort(400)

    client.post("/", data={"picture": (io.BytesIO(b"abcdef"), "cat.png", "image/png")})
    [entry] = told()
    assert entry["seclog.params_censored"] == {"files": [{"name": "cat.png", "size": 6, "type": "image/png"}]}


def test_a_body_that_nobody_read_stays_unread(app, client, told):
    """Nothing is read from a client for the sake of the log."""

    @app.post("/")
    def home():
        abort(400)

    @app.teardown_request
    def look(error):
        app.left = request.environ["wsgi.input"].read()

    client.post("/", data={"colour": "red"})
    assert app.left == b"colour=red"
    [entry] = told()
    assert entry["seclog.params_censored"] == {}


def test_a_secret_in_the_path(app, client, told):
    """A URL parameter that is called like a secret is not written."""
    app.add_url_rule("/reset/<token>", "reset", lambda token: abort(404))
    client.get("/reset/abc123def456ghi789")
    [entry] = told()
    assert (entry["url.path"], entry["http.route"]) == ("/reset/[redacted]", "/reset/<token>")


def test_static_files_and_icons_are_no_entry(make_app, names):
    """What browsers ask for by themselves says nothing."""
    app = make_app()
    app.static_folder = "static"
    app.add_url_rule("/static/<path:filename>", "static", app.send_static_file)
    for path in ("/favicon.ico", "/static/missing.js"):
        assert app.test_client().get(path).status_code == 404
    assert names() == []


def test_a_redirect_to_the_login(app, client, told):
    """Who is not logged in is sent to the login: one entry."""
    app.add_url_rule("/members", "members", lambda: redirect("/auth/sign-in?next=/members"))
    client.get("/members")
    [entry] = told()
    assert (entry["event.name"], entry["reason"]) == ("authz_unauthenticated", "login_required")


def test_a_redirect_to_the_login_of_somebody_who_is_logged_in(app, client, told):
    """Who is logged in and sent there all the same was refused."""
    app.add_url_rule("/members", "members", lambda: redirect("/login?next=/members"))
    with client.session_transaction() as stored:
        stored["user_id"] = 7
    client.get("/members")
    [entry] = told()
    assert (entry["event.name"], entry["reason"], entry["user.id"]) == ("authz_fail", "redirected_to_login", "7")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/register"), ("GET", "/login/"), ("GET", "/logout"), ("GET", "/sign_out")]
)
def test_a_way_to_the_login_that_is_no_refusal(app, client, told, method, path):
    """A form that is done, a slash, a logout: they lead there too."""
    app.add_url_rule(path, "way", lambda: redirect("/login"), methods=["GET", "POST"])
    client.open(path, method=method)
    assert told() == []


def test_the_slash_that_flask_appends_is_no_event(app, client, told):
    """Flask redirects by an exception; it is no error."""
    app.add_url_rule("/orders/", "orders", lambda: "orders")
    assert client.get("/orders").status_code == 308
    assert told() == []


def test_a_wsgi_middleware_inside(make_app, told):
    """What a WSGI middleware answers without asking Flask is told too."""
    from flask import Flask

    from seclog.adapters.flask import SecLog

    app = Flask("gated")
    inner = app.wsgi_app

    def gate(environ, start_response):
        if environ["PATH_INFO"] == "/gate":
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"no"]
        return inner(environ, start_response)

    app.wsgi_app = gate
    SecLog(app)
    assert app.test_client().get("/gate").status_code == 403
    [entry] = told()
    assert (entry["event.name"], entry["url.path"]) == ("authz_fail", "/gate")
    assert "http.route" not in entry


def test_blueprint_handlers_and_http_exceptions(app, client, told):
    """Handlers of blueprints and of all HTTP exceptions are error handlers as well."""
    blueprint = Blueprint("api", __name__, url_prefix="/api")
    blueprint.add_url_rule("/deny", "deny", lambda: abort(403))
    blueprint.errorhandler(HTTPException)(lambda error: (jsonify(code=error.code), error.code))
    app.register_blueprint(blueprint)
    assert client.get("/api/deny").json == {"code": 403}
    [entry] = told()
    assert (entry["event.name"], entry["http.route"]) == ("authz_fail", "/api/deny")


def test_the_session_is_not_touched(app, client, told):
    """To look who is logged in must not make the answer vary by cookie."""

    @app.get("/deny")
    def deny():
        abort(403)

    with client.session_transaction() as stored:
        stored["user_id"] = 7
    answer = client.get("/deny")
    assert "Vary" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert told()[0]["user.id"] == "7"


def test_an_event_in_the_view_does_not_touch_the_session(app, client, told):
    """The same while the view still runs."""
    import seclog

    @app.get("/emit")
    def emit():
        seclog.emit("sensitive_read", target_type="patients", target_id=7, count=1)
        return "done"

    with client.session_transaction() as stored:
        stored["user_id"] = 7
    assert "Vary" not in client.get("/emit").headers
    assert told()[0]["user.id"] == "7"
