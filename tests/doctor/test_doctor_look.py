"""What the looks gather: of this suite's Django project, of small Flask, Starlette and FastAPI apps made here."""

import functools
import sys
from secrets import token_urlsafe
from types import ModuleType

import pytest

import seclog
from seclog.adapters._look import Ownership, _called, marks_of, name_of
from seclog.cli.target import TargetError, look_at
from seclog.doctor.data import libraries

pytest.importorskip("django")


@seclog.export("orders")
def exported():
    """A decorated view."""


class Shown:
    @seclog.sensitive("patients")
    def get(self):
        """A decorated method."""


def careless(function):
    def wrapper():  # no functools.wraps
        return function()

    return wrapper


@pytest.fixture
def module(monkeypatch):
    """Make a module that `--app` can name, and put an app into it."""
    made = ModuleType("seclog_doctor_made")
    made.__file__ = __file__
    monkeypatch.setitem(sys.modules, made.__name__, made)

    def put(**names):
        for name, value in names.items():
            setattr(made, name, value)
        return made.__name__

    return put


def paths(app):
    return {route.path for route in app.routes}


# ── views ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "view",
    [exported, functools.wraps(exported)(lambda: exported()), functools.partial(exported), careless(exported)],
    ids=["plain", "below functools.wraps", "partial", "below a careless wrapper"],
)
def test_marks(view):
    """A decorator is seen below others, with its name."""
    assert marks_of(view) == ("export orders",)
    assert name_of(view).endswith(".exported")


def test_marks_of_a_class():
    """A decorated method marks its class."""
    assert marks_of(Shown) == ("sensitive patients",)


def test_marks_of_a_decorated_class():
    """A decorated view class is marked, and the class it inherits from is not."""
    from django.views import View

    @seclog.admin_action("refund")
    class Refund(View):
        pass

    assert marks_of(Refund.as_view()) == ("admin_action refund",)
    assert marks_of(View) == ()


def test_ownership():
    """The suite's code is own, installed libraries and seclog are not, unless the app is one of them."""
    import django.views.generic as installed

    assert Ownership([]).owns(exported)
    assert not Ownership([]).owns(installed.ListView)
    assert not Ownership([]).owns(seclog.emit)
    assert not Ownership([]).owns(functools.reduce)
    assert Ownership(["django.views.generic"]).owns(installed.ListView)


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("import seclog\nseclog.login_failed('x')", {"login_failed"}),
        ("from seclog import emit\nemit('authn_token_created')", {"emit:authn_token_created"}),
        ("from seclog import api, EventType\napi.emit(EventType.AUTHZ_CHANGE)", {"emit:authz_change"}),
        ("import seclog as log\nwith log.change('x') as c: pass", {"change"}),
        ("from seclog.adapters.sqlalchemy import watch as w\nw(User, 'role')", {"watch"}),
        ("# seclog\nprint('seclog')", set()),
        ("import seclog\ndef (", set()),
    ],
)
def test_calls(source, calls):
    """Calls of seclog are found by the names that a module gives them."""
    assert _called(source) == calls


# ── Django ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_django_test_project():
    """Apps, middleware, sessions, user model and routes of the suite's project."""
    [app], around = look_at(None, "django")
    assert (app.framework, app.installed, app.position) == ("django", True, 0)
    assert {
        "django.contrib.auth",
        "rest_framework.authtoken",
        "middleware:sessions",
        "user:password",
        "user_model:auth.User",
    } <= app.traits
    assert not {"library:rest_framework_simplejwt", "sessions:signed_cookies", "user:roles"} & app.traits
    assert app.watchable == ("djangoapp.StoreSettings",)
    assert around.settings.sensitive_paths == ("/patients/",)
    assert "seclog.adapters.django.login" in around.modules


def test_django_settings(settings):
    """Stars, signs of proxies, and a session engine without ids."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    [app], _ = look_at(None, "django")
    assert [text.partition(":")[0] for text in app.trusts_everybody] == ["ALLOWED_HOSTS"]
    assert app.proxy_signs == ("SECURE_PROXY_SSL_HEADER",)
    assert "sessions:signed_cookies" in app.traits
    assert app.position == 1


def test_wrong_django_settings(settings):
    """Wrong settings of ours are a finding, not a failure."""
    settings.SECLOG = {"watch": 3.5}
    _, around = look_at(None, "django")
    assert "SECLOG['watch']" in around.problem


def test_django_by_its_wsgi_application(module):
    """The handler that a server is given leads to the same project."""
    from django.core.handlers.wsgi import WSGIHandler

    [app], _ = look_at(f"{module(application=WSGIHandler())}:application", None)
    assert app.framework == "django"


# ── Flask ───────────────────────────────────────────────────────────────────────────────────────────────────


def flask_app():
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)
    app.add_url_rule("/orders/export", view_func=exported, methods=["GET"])
    app.add_url_rule("/login", "login", lambda: "", methods=["POST"])
    return app


def test_flask(module):
    """Rules, methods and decorators; the static files are no route."""
    [app], _ = look_at(f"{module(app=flask_app())}:app", None)
    assert (app.framework, app.installed) == ("flask", False)
    assert paths(app) == {"/orders/export", "/login"}
    assert {route.path: (route.methods, route.marks, route.own) for route in app.routes} == {
        "/orders/export": (("GET",), ("export orders",), True),
        "/login": (("POST",), (), True),
    }
    assert "sessions:cookie" in app.traits


def test_flask_from_a_factory(module):
    """`module:factory()` calls it; a factory without the brackets is told what to write."""
    name = module(create_app=flask_app)
    [app], _ = look_at(f"{name}:create_app()", None)
    assert app.framework == "flask"
    with pytest.raises(TargetError, match=r"--app 'seclog_doctor_made:create_app\(\)'"):
        look_at(f"{name}:create_app", None)


def test_flask_behind_proxy_fix(module):
    """Layers around the app are seen, and the app behind them."""
    from werkzeug.middleware.proxy_fix import ProxyFix

    inside = flask_app()
    inside.wsgi_app = ProxyFix(inside.wsgi_app, x_for=2)
    [app], _ = look_at(f"{module(app=inside)}:app", None)
    assert app.proxy_signs == ("ProxyFix(x_for=2)",)
    assert "proxy:rewritten" in app.traits
    [outside], _ = look_at(f"{module(app=ProxyFix(flask_app()))}:app", None)
    assert (outside.framework, outside.proxy_signs) == ("flask", ("ProxyFix",))


@pytest.mark.parametrize(
    ("library", "name", "trait"),
    [
        ("flask_login", "LoginManager", "extension:login_manager"),
        ("flask_jwt_extended", "JWTManager", "extension:flask-jwt-extended"),
        ("flask_wtf", "CSRFProtect", "extension:csrf"),
        ("flask_admin", "Admin", "extension:admin"),
    ],
)
def test_flask_extensions(module, library, name, trait):
    """Extensions are traits by the names that Flask keeps them under, as the table of libraries has them."""
    app = flask_app()
    app.secret_key = token_urlsafe()
    getattr(pytest.importorskip(library), name)(app)
    [app], _ = look_at(f"{module(app=app)}:app", None)
    assert trait in app.traits
    assert libraries().known[library].trait == trait


def test_flask_mounts(module):
    """Apps that a dispatcher mounts are looked at, too."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    outer, inner = flask_app(), flask_app()
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})
    apps, _ = look_at(f"{module(app=outer)}:app", None)
    assert [app.mounted_at for app in apps] == ["", "/inner"]


# ── Starlette and FastAPI ───────────────────────────────────────────────────────────────────────────────────


def fastapi_app():
    fastapi = pytest.importorskip("fastapi")
    from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

    app = fastapi.FastAPI()
    router = fastapi.APIRouter(prefix="/orders")
    router.get("/export")(exported)

    @router.get("/{order_id}/invoice")
    def invoice(order_id: int, token: str = fastapi.Depends(OAuth2PasswordBearer(tokenUrl="token"))):
        return {}

    @app.post("/token")
    def token(form: OAuth2PasswordRequestForm = fastapi.Depends()):  # noqa: B008
        return {}

    app.include_router(router, prefix="/api")
    return app


def test_fastapi(module):
    """Routers with their prefixes, methods, dependencies; FastAPI's own pages are not the app's."""
    [app], _ = look_at(f"{module(app=fastapi_app())}:app", None)
    assert app.framework == "fastapi"
    assert {route.path for route in app.routes if route.own} == {
        "/token",
        "/api/orders/export",
        "/api/orders/{order_id}/invoice",
    }
    assert next(route.marks for route in app.routes if route.path == "/api/orders/export") == ("export orders",)
    assert {"form:OAuth2PasswordRequestForm", "dependencies:security"} <= app.traits


def test_an_app_mounted_in_fastapi(module):
    """A mounted Starlette app and a Flask app behind a bridge are apps of their own, once each."""
    starlette = pytest.importorskip("starlette.applications")
    from starlette.routing import Route
    from starlette.staticfiles import StaticFiles

    class Bridge:
        def __init__(self, app):
            self.app = app

    app = fastapi_app()
    inner = starlette.Starlette(routes=[Route("/deep", exported)])
    app.mount("/inner", inner)
    app.mount("/again", inner)
    app.mount("/legacy", Bridge(flask_app()))
    app.mount("/static", StaticFiles(directory="."))
    apps, _ = look_at(f"{module(app=app)}:app", None)
    assert [(app.framework, app.mounted_at) for app in apps] == [
        ("fastapi", ""),
        ("starlette", "/inner"),
        ("flask", "/legacy"),
    ]


def test_starlette_middleware(module):
    """The order of the middleware, and options that trust everybody."""
    starlette = pytest.importorskip("starlette.applications")
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.gzip import GZipMiddleware

    app = starlette.Starlette()
    app.add_middleware(GZipMiddleware)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    [app], _ = look_at(f"{module(app=app)}:app", None)
    assert [name.rpartition(".")[2] for name in app.middleware] == ["CORSMiddleware", "GZipMiddleware"]
    assert [text.partition(" ")[0] for text in app.trusts_everybody] == ["CORSMiddleware"]
    assert app.installed is False


def test_installed_flask(module):
    """`SecLog(app)` is seen, with the settings it was given."""
    extension = pytest.importorskip("seclog.adapters.flask")
    app = flask_app()
    app.config["SECLOG"] = {"directory": None, "watch": False, "sensitive_paths": ["/orders/"]}
    app.extensions["seclog"] = extension.SecLog()  # not put on: it would open the record of this process
    [found], around = look_at(f"{module(app=app)}:app", None)
    assert (found.installed, found.position) == (True, 0)
    assert around.settings.sensitive_paths == ("/orders/",)


def test_installed_asgi(module):
    """The middleware is seen among the others, around the app, and around the whole stack."""
    starlette = pytest.importorskip("starlette.applications")
    asgi = pytest.importorskip("seclog.adapters.asgi")
    from starlette.middleware.gzip import GZipMiddleware

    inside = starlette.Starlette()
    inside.add_middleware(asgi.SecurityEventMiddleware)
    inside.add_middleware(GZipMiddleware)
    [app], _ = look_at(f"{module(app=inside)}:app", None)
    assert (app.installed, app.position) == (True, 1)
    [app], _ = look_at(f"{module(app=asgi.SecurityEventMiddleware(starlette.Starlette()))}:app", None)
    assert (app.installed, app.position) == (True, 0)


def test_an_environment_that_trusts_everybody(module, monkeypatch):
    """Both uvicorn and gunicorn read FORWARDED_ALLOW_IPS; a star is told."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    [app], _ = look_at(f"{module(app=flask_app())}:app", None)
    assert app.trusts_everybody[0].startswith("FORWARDED_ALLOW_IPS")


def test_tables(module):
    """A table of users and one that looks like configuration, both of the app's own."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.orm import declarative_base

    base = declarative_base()

    def table(name):
        columns = {"__tablename__": name.lower(), "id": sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)}
        columns["is_admin"] = sqlalchemy.Column(sqlalchemy.Boolean)
        return type(name, (base,), {**columns, "__module__": __name__})

    name = module(app=flask_app(), User=table("User"), StoreSettings=table("StoreSettings"), Order=table("Order"))
    [app], _ = look_at(f"{name}:app", None)
    assert "StoreSettings" in app.watchable and "Order" not in app.watchable
    assert {"tables:users", "user_model:User", "user_role:is_admin"} <= app.traits


# ── what cannot be looked at ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "name the app"),
        ("no_such_module_at_all:app", "ModuleNotFoundError"),
        ("json:app", "json has no 'app'"),
        ("json:", "names no app"),
        (":app", "names no module"),
        ("json:dumps", "knows apps of Django, Flask, Starlette and FastAPI"),
        ("json:dumps()", "TypeError"),
    ],
)
def test_wrong_targets(target, message):
    """Whatever is wrong with the name is one line that says it."""
    with pytest.raises(TargetError) as caught:
        look_at(target, None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "1/0", "raise ValueError('a\\nb')", "def ("])
def test_a_module_that_breaks(tmp_path, monkeypatch, body):
    """A module that raises or exits while it is imported is one line, too."""
    (tmp_path / "broken_app.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_app", raising=False)
    with pytest.raises(TargetError, match=r"^broken_app:app cannot be imported: [^\n]*$"):
        look_at("broken_app:app", None)
