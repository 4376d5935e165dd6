"""The examination: from facts made by hand to what is recorded, blind, or told by call."""

from dataclasses import replace

import pytest

from seclog.doctor import App, Route, Surroundings, examine
from seclog.doctor.data import coverage, libraries
from seclog.doctor.report import SCHEMA
from seclog.settings import Settings, WatchSettings

EVERYTHING = frozenset(
    {row.module for framework in coverage().inherits for row in coverage().rows(framework)}
    | {f"seclog.adapters.integrations.{row.module}" for lib in libraries().known.values() for row in lib.rows}
)
AROUND = Surroundings(settings=Settings(trusted_proxies=("10.0.0.0/8",)), modules=EVERYTHING)
DJANGO = App(
    framework="django",
    installed=True,
    position=0,
    traits=frozenset(
        {"django.contrib.auth", "django.contrib.sessions", "django.contrib.admin", "middleware:sessions", "user:password",
         "user:permissions"}
    ),
    routes=(Route("/", view="shop.views.home"),),
)  # fmt: skip
FLASK = App(framework="flask", installed=True, position=0, routes=(Route("/", view="app.home"),))
FASTAPI = App(framework="fastapi", installed=True, position=0, routes=(Route("/", view="app.home"),))


def examined(app, around=AROUND):
    [report] = examine((app,), around).apps
    return report


def family(app, number, around=AROUND):
    return examined(app, around).families[number - 1]


def spots(app, around=AROUND):
    return {spot.id for found in examined(app, around).families for spot in found.blind}


def with_traits(app, *traits):
    return replace(app, traits=app.traits | set(traits))


def with_routes(app, *paths, **facts):
    return replace(app, routes=tuple(Route(path, view="app.view", **facts) for path in paths))


# ── families ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_django_project_is_recorded():
    """Auth, sessions, admin and the middleware in its place: nothing is blind."""
    assert {found.number: found.status for found in examined(DJANGO).families} == dict.fromkeys(
        range(1, 11), "recorded"
    )
    assert spots(DJANGO) == set()


def test_the_schema_is_named():
    """A report says which schema it has."""
    assert examine((DJANGO,), AROUND).schema == SCHEMA == "seclog-doctor/1"


@pytest.mark.parametrize(
    ("missing", "number", "spot"),
    [
        ("django.contrib.auth", 1, "no-auth"),
        ("user:password", 2, "foreign-passwords"),
        ("django.contrib.auth", 4, "no-user-model"),
    ],
)
def test_django_without_what_a_hook_needs(missing, number, spot):
    """A missing need is a blind spot with its reason."""
    app = replace(DJANGO, traits=DJANGO.traits - {missing})
    assert spot in {found.id for found in family(app, number).blind}


def test_signed_cookie_sessions_are_blind():
    """Sessions in signed cookies have no id: family 3 is blind, and the session hooks are not claimed."""
    found = family(with_traits(DJANGO, "sessions:signed_cookies"), 3)
    assert found.status == "blind"
    assert [spot.id for spot in found.blind] == ["signed-cookie-sessions"]


def test_without_the_middleware_the_request_level_is_not_recorded():
    """Families 5, 6 and 7 live on the middleware; families 1 and 4 do not."""
    app = replace(DJANGO, position=None)
    assert {family(app, number).covered for number in (5, 6, 7)} == {()}
    assert family(app, 1).status == family(app, 4).status == "recorded"


def test_without_seclog_the_report_says_what_would_be():
    """An app without seclog is told what it will record, and that nothing is recorded yet."""
    app = replace(DJANGO, installed=False, position=None)
    assert family(app, 6).status == "recorded"
    assert [warning.id for warning in examined(app).warnings] == ["not-installed"]


def test_models_that_look_like_configuration():
    """A model named like configuration is a blind spot with its name in the line, until it is watched."""
    app = replace(DJANGO, watchable=("shop.StoreSettings",))
    [spot] = family(app, 9).blind
    assert (spot.id, spot.line) == ("config-models", 'SECLOG["watch_models"] = ["shop.StoreSettings"]')
    watching = replace(AROUND, settings=replace(AROUND.settings, watch_models={"shop.StoreSettings": ()}))
    assert family(app, 9, watching).status == "recorded"


def test_own_roles_of_the_user_model():
    """A role field of the user model is blind until the model is watched."""
    app = with_traits(DJANGO, "user:roles", "user_model:shop.User")
    assert '"shop.User"' in family(app, 4).blind[0].line
    watching = replace(AROUND, settings=replace(AROUND.settings, watch_models={"shop.user": ("role",)}))
    assert family(app, 4, watching).status == "recorded"


def test_a_switched_off_watch_is_blind_to_new_devices():
    """Family 8 is the watch's work."""
    off = replace(AROUND, settings=replace(AROUND.settings, watch=WatchSettings(enabled=False)))
    assert spots(DJANGO, off) == {"watch-off"}


def test_no_sign_is_not_blind():
    """An app without a login is not called blind to logins."""
    assert family(FLASK, 1).status == "no sign"
    assert family(FLASK, 8).status == "no sign"


@pytest.mark.parametrize("app", [FLASK, FASTAPI], ids=lambda app: app.framework)
def test_a_guessed_login(app):
    """A login route of the app's own is watched by a heuristic, a guess, until the code tells."""
    app = with_routes(app, "/login")
    assert family(app, 1).status == "partly"
    assert [spot.id for spot in family(app, 1).blind] == ["guessed-login"]
    assert family(replace(app, calls=frozenset({"login_failed"})), 1).status == "recorded"


def test_flask_login_tells_of_no_failure():
    """Flask-Login's successes are certain, its failures are guessed, until the code tells."""
    app = with_traits(with_routes(FLASK, "/login"), "extension:login_manager")
    assert [spot.id for spot in family(app, 1).blind] == ["guessed-failures"]
    assert family(replace(app, calls=frozenset({"login_failed"})), 1).status == "recorded"


@pytest.mark.parametrize("app", [FLASK, FASTAPI], ids=lambda app: app.framework)
def test_users_that_are_made_by_routes(app):
    """Routes that make and change users are a sign of family 4, also without a table that is known."""
    app = with_routes(app, "/user/new", "/users/<id>/update")
    assert [spot.id for spot in family(app, 4).blind] == ["own-accounts"]
    assert family(replace(app, calls=frozenset({"change"})), 4).status == "by call"


def test_a_login_that_nobody_tells():
    """Without the heuristic a login route is blind, and new devices with it; the app's own calls close both."""
    app = with_traits(with_routes(FLASK, "/login"), "login_heuristic:off")
    assert {"own-login", "no-logins"} <= spots(app)
    told = replace(app, calls=frozenset({"login_failed", "login_succeeded"}))
    assert not {"own-login", "no-logins"} & spots(told)


@pytest.mark.parametrize("app", [DJANGO, FLASK, FASTAPI], ids=lambda app: app.framework)
def test_own_tokens(app):
    """Token routes without a known token library are blind, until the code emits a token event."""
    app = with_routes(app, "/api/token/")
    assert "own-tokens" in spots(app)
    assert "own-tokens" not in spots(replace(app, calls=frozenset({"emit:authn_token_created"})))
    assert "own-tokens" in spots(replace(app, calls=frozenset({"emit:authz_fail"})))


def test_a_token_library_takes_the_token_routes():
    """With authtoken the token routes are recorded by its hooks."""
    app = with_traits(with_routes(DJANGO, "/api/token/"), "rest_framework", "rest_framework.authtoken")
    assert "own-tokens" not in spots(app)
    assert examined(app).sensitive == ()


def test_fastapi_password_form():
    """A route with an OAuth2PasswordRequestForm is a login that is recorded by itself."""
    app = with_traits(with_routes(FASTAPI, "/login"), "form:OAuth2PasswordRequestForm")
    assert family(app, 1).status == "recorded"


def test_fastapi_user_of_a_dependency():
    """What a dependency finds out leaves no trace: who it was is blind until the code binds the user."""
    app = with_traits(FASTAPI, "dependencies:security")
    assert [spot.id for spot in family(app, 6).blind] == ["nameless-user"]
    assert family(replace(app, calls=frozenset({"bind_user"})), 6).blind == ()


# ── libraries ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(libraries().known))
def test_a_library_is_recorded_only_if_its_hook_is_there(name):
    """A library whose hook this seclog has is recorded; without the hook it is blind, with a line to add."""
    library = libraries().known[name]
    framework = library.frameworks[-1]
    app = with_traits(App(framework=framework, installed=True, position=0), library.trait)
    with_hooks = family(app, library.rows[0].family)
    assert any(covered.by.startswith(library.title) for covered in with_hooks.covered)
    without = family(app, library.rows[0].family, replace(AROUND, modules=frozenset()))
    [spot] = [spot for spot in without.blind if spot.id == name.replace("_", "-")]
    assert spot.why == f"this seclog has no hook for {library.title} yet"


def test_a_library_is_hooked_in_its_frameworks_only():
    """GraphQL's denials are hooked in Django apps; the same library in a FastAPI app is blind."""
    [spot] = [spot for spot in family(with_traits(FASTAPI, "library:strawberry"), 6).blind if spot.id == "strawberry"]
    assert spot.why == "this seclog has no hook for Strawberry GraphQL in fastapi apps yet"


@pytest.mark.parametrize("name", sorted(libraries().audit))
def test_a_second_record(name):
    """Another audit library is told, and what to do about it."""
    found = [warning for warning in examined(with_traits(DJANGO, name)).warnings if warning.id == "same-work"]
    assert [warning.line for warning in found] == [libraries().audit[name].keep]


# ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "kinds", "line"),
    [
        ("/orders/export/", ("export",), '@seclog.export("orders")'),
        ("/api/projects/<int:pk>/export/formats", ("export",), '@seclog.export("projects")'),
        ("/orders/{order_id}/invoice", ("finance",), '@seclog.sensitive("invoice")'),
        ("/orders/<int:pk>/refund/", ("finance",), '@seclog.sensitive("orders")'),
        ("/patients/<uuid:id>/", ("personal",), '@seclog.sensitive("patients")'),
        ("/reports/download", ("export", "download"), '@seclog.export("reports")'),
        ("/backoffice/reindex", ("admin",), '@seclog.admin_action("view")'),
        ("/userProfile", ("personal",), '@seclog.sensitive("user")'),
        ("/api-keys", ("token",), '@seclog.sensitive("keys")'),
        ("/admin/customers.csv", ("admin", "export", "personal"), '@seclog.export("customers")'),
    ],
)
def test_routes_that_look_sensitive(path, kinds, line):
    """A route is told by its words, and gets the line for what leaves through it."""
    [route] = examined(with_routes(DJANGO, path)).sensitive
    assert (route.kinds, route.line) == (kinds, line)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/about/",
        "/health",
        "/static/app.js",
        "/orders/<int:user_id>/",
        "/user/login/",
        "/v1/token_counter",
        "/exporters-guide",
    ],
)
def test_routes_that_do_not_look_sensitive(path):
    """A parameter's name, a login page and a word inside another are no sign."""
    assert examined(with_routes(DJANGO, path)).sensitive == ()


@pytest.mark.parametrize("facts", [{"marks": ("export orders",)}, {"own": False}], ids=["decorated", "a library's"])
def test_routes_that_need_no_decorator(facts):
    """A decorated view is done, and a library's view cannot be decorated."""
    assert examined(with_routes(DJANGO, "/orders/export/", **facts)).sensitive == ()


def test_sensitive_paths_do_what_a_decorator_does():
    """What the settings name is recorded without a decorator."""
    around = replace(AROUND, settings=replace(AROUND.settings, sensitive_paths=("/patients/",)))
    assert examined(with_routes(DJANGO, "/patients/7/"), around).sensitive == ()


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("GET", '@seclog.export("artifacts")'),
        ("PUT", '@seclog.sensitive("artifacts", action="update")'),
        ("DELETE", '@seclog.sensitive("artifacts", action="delete")'),
    ],
)
def test_an_upload_is_no_download(method, line):
    """The method decides which decorator fits."""
    [route] = examined(with_routes(FLASK, "/artifacts/<path:p>", methods=(method,))).sensitive
    assert route.line == line


def test_a_decorated_route_counts_as_told():
    """A mark on a route is the call that family 5 waits for."""
    app = with_routes(DJANGO, "/orders/export/", marks=("export orders",))
    assert [call.called for call in family(app, 5).by_call] == [True]
    assert examined(app).decorated == 1


# ── warnings ────────────────────────────────────────────────────────────────────────────────────────────────


def warned(app, **settings):
    around = replace(AROUND, settings=replace(AROUND.settings, **settings))
    return {warning.id: warning for warning in examined(app, around).warnings}


def test_nothing_to_warn_of():
    """A middleware in its place and named proxies: no warning."""
    assert warned(DJANGO) == {}


def test_no_proxies():
    """Without trusted_proxies the doctor asks, and with a sign of a proxy it knows."""
    assert "if one stands in front" in warned(DJANGO, trusted_proxies=())["proxies-unset"].text
    app = replace(DJANGO, proxy_signs=("SECURE_PROXY_SSL_HEADER",))
    assert "a proxy stands in front (SECURE_PROXY_SSL_HEADER)" in warned(app, trusted_proxies=())["proxies-unset"].text


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_proxies_that_are_everybody(network):
    """A network of everybody lets every client choose its address."""
    assert network in warned(DJANGO, trusted_proxies=(network,))["trusts-everybody"].text


def test_settings_that_trust_everybody():
    """A star elsewhere is told with its consequence."""
    app = replace(DJANGO, trusts_everybody=("ALLOWED_HOSTS: a client can choose the host",))
    assert warned(app)["trusts-everybody"].text == "ALLOWED_HOSTS trusts everybody: a client can choose the host"


def test_an_address_that_is_replaced_twice():
    """ProxyFix and trusted_proxies together replace the peer twice."""
    app = with_traits(FLASK, "proxy:rewritten", "proxy:unchecked")
    app = replace(app, proxy_signs=("ProxyFix(x_for=1)",))
    assert set(warned(app)) == {"proxies-twice", "proxy-unchecked"}
    assert set(warned(app, trusted_proxies=())) == {"proxy-unchecked"}


def test_a_misplaced_middleware():
    """What stands before the middleware is named."""
    app = replace(DJANGO, position=1, middleware=("corsheaders.middleware.CorsMiddleware", "seclog"))
    assert "(CorsMiddleware)" in warned(app)["middleware-misplaced"].text


def test_a_missing_middleware():
    """The line to add is the middleware's."""
    assert warned(replace(DJANGO, position=None))["middleware-missing"].line.startswith("MIDDLEWARE = [")


def test_an_app_without_routes():
    """An app that a function still has to put together is told so."""
    assert "no-routes" in warned(replace(FLASK, routes=()))


def test_wrong_settings():
    """Settings that cannot be read mean that nothing is recorded."""
    around = replace(AROUND, problem="SECLOG['watch'] must be a mapping, got int")
    assert examined(DJANGO, around).warnings[0].id == "settings"
