"""`SecLog(app)`: how it is set up, what it leaves alone, and several apps in one process."""

import os
import subprocess
import sys
import textwrap

import flask
import pytest
from flask import Flask, Response, abort, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

import seclog
from conftest import whole
from seclog import api
from seclog.adapters import integrations
from seclog.adapters._scope import WebScope
from seclog.adapters.flask import SecLog, extension, hooks
from seclog.adapters.flask.request import RequestScope, of
from seclog.assembly import Installation
from seclog.context import current, enter, leave
from seclog.errors import ConfigurationError
from seclog.settings import Settings


def deny(app, path="/deny"):
    app.add_url_rule(path, path, lambda: abort(403))
    return app


def run(code, **environment):
    """Run code in a process of its own; return what it prints."""
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=known, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_flask():
    """Without Flask the import says what to install."""
    assert (
        run("""
        import sys
        sys.modules["flask"] = None
        class Hidden:
            def find_spec(self, name, path=None, target=None):
                if name == "flask":
                    raise ModuleNotFoundError("No module named 'flask'", name="flask")
        del sys.modules["flask"]
        sys.meta_path.insert(0, Hidden())
        from seclog import MissingExtraError
        try:
            import seclog.adapters.flask
        except MissingExtraError as error:
            print(error)
    """)
        == 'Flask is not installed: pip install "seclog[flask]"'
    )


def test_settings_come_from_the_app(tmp_path):
    """Settings are the app's; its name is the service; the record is where they say."""
    assert (
        run(f"""
        from flask import Flask
        from seclog import api
        from seclog.adapters.flask import SecLog
        app = Flask("shop")
        app.config["SECLOG"] = {{"directory": {str(tmp_path)!r}, "version": "1.2"}}
        SecLog(app)
        settings = api.installed().settings
        print(settings.service, settings.version, settings.directory)
        app.test_client().get("/")
        print(len(list(settings.directory.rglob("*.jsonl"))))
    """)
        == f"shop 1.2 {tmp_path}\n1"
    )


def test_nothing_happens_before_the_first_request(tmp_path):
    """An app that is only imported (`flask routes`, the master of forking workers) writes nothing."""
    assert (
        run(
            """
        from pathlib import Path
        from flask import Flask
        from seclog.adapters.flask import SecLog
        SecLog(Flask("shop"))
        print(list(Path(".seclog").rglob("*.jsonl")))
    """,
            SECLOG_DIRECTORY=str(tmp_path),
        )
        == "[]"
    )


def test_after_a_fork_every_worker_tells_of_its_start(tmp_path):
    """Workers that fork from a parent that served already start again."""
    assert (
        run(
            """
        import json, os
        from pathlib import Path
        from flask import Flask
        from seclog import api
        from seclog.adapters.flask import SecLog
        app = Flask("shop")
        SecLog(app)
        app.test_client().get("/a")
        child = os.fork()
        if child == 0:
            app.test_client().get("/b")
            api.installed().shut_down()
            os._exit(0)
        os.waitpid(child, 0)
        lines = [json.loads(l) for f in Path(os.environ["SECLOG_DIRECTORY"]).rglob("*.jsonl") for l in f.open()]
        starts = {line["process.pid"] for line in lines if line["event.name"] == "sys_startup"}
        print(starts == {os.getpid(), child})
    """,
            SECLOG_DIRECTORY=str(tmp_path),
        )
        == "True"
    )


def test_the_start_as_a_whole(make_app, entries, monkeypatch):
    """With its first request a process tells of its start, once for all its apps."""
    monkeypatch.setattr(extension, "_started", None)
    for name in ("shop", "back-office"):
        app = make_app(name)
        app.add_url_rule("/", "home", lambda: "home")
        app.test_client().get("/")
    [entry] = entries
    for name in ("service.name", "deployment.environment.name"):
        entry.pop(name, None)
    assert isinstance(entry.pop("host.name"), str) and entry.pop("process.pid") == os.getpid()
    assert whole(entry) == {
        "schema": "seclog/1",
        "timestamp": "<time>",
        "event.name": "sys_startup",
        "event.id": "<id>",
        "event.outcome": "success",
        "severity": "informational",
        "message": "Application started",
        "seclog.framework": "flask",
    }


def test_a_wrong_setting_is_told_at_once(entries):
    """A wrong setting is an error where the extension is made, and names the key."""
    app = Flask("shop")
    app.config["SECLOG"] = {"service": 17}
    with pytest.raises(ConfigurationError, match=r"SECLOG\['service'\]"):
        SecLog(app)
    assert app.wsgi_app.__func__ is Flask.wsgi_app


def test_another_directory_is_warned_of(make_app, entries, tmp_path, caplog):
    """A process has one record: who asks for another one is told."""
    before = api.installed()
    api._installed = Installation(Settings(directory=tmp_path / "first"), pseudonym_key="a key for tests only")
    try:
        app = Flask("second")
        app.config["SECLOG"] = {"directory": str(tmp_path / "second")}
        SecLog(app)
        assert api.installed().settings.directory == tmp_path / "first"
    finally:
        api._installed.shut_down("test")
        api._installed = before
    assert "this process records to" in caplog.text


def test_twice_is_once(make_app, names):
    """A second `init_app` does nothing."""
    app = deny(make_app())
    SecLog(app)
    SecLog().init_app(app)
    app.test_client().get("/deny")
    assert names() == ["authz_fail"]


def test_an_app_factory(entries, names):
    """One extension object may serve several apps."""
    extension = SecLog()
    for name in ("one", "two"):
        app = deny(Flask(name))
        extension.init_app(app)
        app.test_client().get("/deny")
    assert names() == ["authz_fail"] * 2


# ── several apps ──────────────────────────────────────────────────────────────────────────────────────────


def test_two_apps_do_not_disturb_each_other(make_app, told):
    """Each has its own options and its own sessions; one without seclog is not recorded."""
    watched, other, bare = make_app("one"), make_app("two", session_user_key="member"), Flask("bare")
    bare.secret_key = "not a secret at all"
    for app in (watched, other, bare):
        deny(app)
        client = app.test_client()
        with client.session_transaction() as stored:
            stored.update(user_id=7, member="m-1")
        client.get("/deny")
    assert [entry["user.id"] for entry in told()] == ["7", "m-1"]


def test_an_app_that_asks_another_one(make_app, told):
    """A request to another app, made within a request, is a request of its own."""
    front, back = make_app("front"), deny(make_app("back"))

    @front.get("/")
    def home():
        seclog.bind_user("front-user")
        back.test_client().get("/deny")
        assert of().app is front
        abort(404)

    front.test_client().get("/", headers={"X-Request-ID": "front-request"})
    inner, outer = told()
    assert (inner["url.path"], outer["url.path"]) == ("/deny", "/")
    assert "user.id" not in inner and outer["user.id"] == "front-user"
    assert outer["seclog.request.id"] == "front-request" != inner["seclog.request.id"]


def test_an_app_mounted_in_another(make_app, told):
    """A request that passes two doors is told once, by the app that served it, with its whole path."""
    front, back = Flask("front"), deny(make_app("back"))
    front.wsgi_app = DispatcherMiddleware(front.wsgi_app, {"/back": back})
    SecLog(front)
    client = Client(front)
    client.get("/back/deny")
    [entry] = told()
    assert (entry["url.path"], entry["http.route"]) == ("/back/deny", "/deny")
    client.get("/nowhere")
    assert [entry["url.path"] for entry in told()] == ["/nowhere"]


def test_a_mounted_app_that_raises(make_app, names):
    """The exception passes both doors, too."""
    front, back = Flask("front"), make_app("back")
    back.add_url_rule("/boom", "boom", lambda: 1 // 0)
    back.testing = True
    front.wsgi_app = DispatcherMiddleware(front.wsgi_app, {"/back": back})
    SecLog(front)
    with pytest.raises(ZeroDivisionError):
        Client(front).get("/back/boom")
    assert names() == ["app_unhandled_exception"]
    assert current() is None


def test_a_mounted_app_without_seclog(make_app, told):
    """What a mounted app without seclog refuses is told by the door around it."""
    front, back = Flask("front"), deny(Flask("back"))
    front.wsgi_app = DispatcherMiddleware(front.wsgi_app, {"/back": back})
    SecLog(front)
    Client(front).get("/back/deny")
    [entry] = told()
    assert (entry["event.name"], entry["url.path"]) == ("authz_fail", "/back/deny")


def test_another_framework_mounted_inside(entries, told):
    """A request that another framework's adapter tells of is told by that one alone."""

    class Foreign(WebScope):
        def fill(self):
            self.context.path = "/back/deny"

    def foreign(environ, start_response):
        outer = current()
        scope = Foreign()
        assert outer.noted("scope of an adapter inside") is scope
        start_response("403 Forbidden", [])
        return []

    front = Flask("front")
    front.wsgi_app = DispatcherMiddleware(front.wsgi_app, {"/back": foreign})
    SecLog(front)
    Client(front).get("/back/deny")
    assert told() == []
    Client(front).get("/back/other")
    assert [entry["url.path"] for entry in told()] == ["/back/other"]


def test_mounted_in_another_framework(make_app):
    """An adapter around this one learns that its request is told inside."""
    app, outer = deny(make_app()), WebScope()
    token = enter(outer)
    try:
        app.test_client().get("/deny")
    finally:
        leave(token)
    assert outer.noted("scope of an adapter inside").ready().path == "/deny"


# ── where the client is ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("outside", [True, False])
def test_proxy_fix_is_believed(entries, told, outside):
    """An app that has set up ProxyFix has decided who the client is, whether it stands inside or outside."""
    app = deny(Flask("shop"))
    if outside:
        SecLog(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)
    if not outside:
        SecLog(app)
    app.test_client().get("/deny", headers={"X-Forwarded-For": "203.0.113.9"})
    assert told()[0]["client.address"] == "203.0.113.9"


def test_our_trusted_proxies_go_before_proxy_fix(entries, told):
    """With networks of our own the address is resolved from the connection's end, not twice."""
    before = api.installed()
    sink = before.recorder.sink
    api._installed = Installation(
        Settings(directory=None, trusted_proxies=("10.0.0.0/8",)), pseudonym_key="a key for tests only"
    )
    api._installed.recorder.sink = sink
    try:
        app = deny(Flask("shop"))
        SecLog(app)
        app.wsgi_app = ProxyFix(app.wsgi_app)
        client = app.test_client()
        for peer in ("10.0.0.1", "198.51.100.7"):
            headers = {"X-Forwarded-For": "6.6.6.6, 10.0.0.5"}
            client.get("/deny", headers=headers, environ_base={"REMOTE_ADDR": peer})
    finally:
        api._installed.shut_down("test")
        api._installed = before
    assert [entry["client.address"] for entry in told()] == ["6.6.6.6", "198.51.100.7"]


# ── hooks ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_integrations_are_connected_at_set_up_and_at_the_first_request(make_app, monkeypatch):
    """A library that is loaded after `init_app` is connected before the first request."""
    calls = []
    fake = type(sys)("seclog.adapters.integrations.fake_library")
    fake.connect = lambda app: calls.append(app.name)
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(integrations, "fake_library", fake, raising=False)
    monkeypatch.setitem(hooks.INTEGRATIONS, "fake", ("fake_library",))
    early = make_app("early")
    assert calls == []
    monkeypatch.setitem(sys.modules, "fake", type(sys)("fake"))
    early.test_client().get("/favicon.ico")
    make_app("late")
    assert calls == ["early", "late"]


@pytest.mark.contains_errors
def test_a_broken_integration_leaves_the_rest_working(make_app, names, monkeypatch):
    """One that fails is reported, and the app is recorded."""
    fake = type(sys)("seclog.adapters.integrations.fake_library")
    fake.connect = lambda app: 1 // 0
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(integrations, "fake_library", fake, raising=False)
    monkeypatch.setitem(sys.modules, "fake", type(sys)("fake"))
    monkeypatch.setitem(hooks.INTEGRATIONS, "fake", ("fake_library",))
    deny(app := make_app()).test_client().get("/deny")
    assert app.extensions["seclog"] and names() == ["authz_fail"]


@pytest.mark.parametrize("where", ["inside", "outside", "both"])
def test_a_middleware_that_is_a_generator(entries, told, where):
    """It starts its answer with the first chunk, when the call is over; refusals and streams are told all the same."""

    def lazy(inner):
        def middleware(environ, start_response):
            result = inner(environ, start_response)
            yield from result
            result.close()

        return middleware

    app = deny(Flask("shop"))
    if where != "outside":
        app.wsgi_app = lazy(app.wsgi_app)
    SecLog(app)
    if where != "inside":
        app.wsgi_app = lazy(app.wsgi_app)
    attached = {"Content-Disposition": "attachment; filename=rows.csv"}
    app.add_url_rule("/rows", "rows", lambda: Response(iter([b"1", b"2"]), headers=attached))
    client = app.test_client()
    assert client.get("/deny").status_code == 403
    assert client.get("/rows").data == b"12"
    assert [(e["event.name"], e["http.route"], e.get("seclog.bytes")) for e in told()] == [
        ("authz_fail", "/deny", None),
        ("data_download", "/rows", 2),
    ]


def test_a_hook_whose_name_is_gone(entries, names, caplog, monkeypatch):
    """One warning that names version and hook; the rest keeps working."""
    monkeypatch.delattr(Flask, "handle_user_exception")
    app = Flask("shop")
    SecLog(app)
    app.add_url_rule("/deny", "deny", lambda: ("no", 403))
    app.test_client().get("/deny")
    assert names() == ["authz_fail"]
    assert "has no Flask.handle_user_exception any more" in caplog.text


def test_a_scope_has_all_that_its_bases_have(app):
    """The scope sets the slots of its bases by itself: as they would, and none is forgotten."""
    flask_scope, web_scope = RequestScope(app, {}, 5), WebScope(5)
    for kind in RequestScope.__mro__:
        for slot in getattr(kind, "__slots__", ()):
            value = getattr(flask_scope, slot)
            assert value == getattr(web_scope, slot, value)


def test_nothing_of_a_request_is_left(make_app):
    """No circle keeps a request's objects until the garbage collector comes."""
    import gc
    import weakref

    app = make_app()
    kept = []

    @app.get("/")
    def home():
        kept.append(weakref.ref(flask.request._get_current_object()))
        session.get("user_id")
        return "home"

    client = app.test_client()
    client.get("/")
    gc.collect()
    gc.disable()
    try:
        result = app(client._request_from_builder_args(("/",), {}).environ, lambda *about: None)
        list(result)
        result.close()
        del result
        assert kept[-1]() is None
    finally:
        gc.enable()
