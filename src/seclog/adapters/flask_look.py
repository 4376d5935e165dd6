"""What the doctor wants to know about a Flask app: extensions, rules, view functions, WSGI layers around it.

In: the app object. Out: `App`, the facts, and what is mounted beside it. Handles no request and pushes no context.
"""

from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from seclog.adapters._look import (
    Ownership,
    calls_of,
    dotted,
    library_traits,
    like_configuration,
    marks_of,
    name_of,
    table_traits,
    tables,
    trusting_environment,
    version_of,
)
from seclog.doctor.facts import App, Route
from seclog.settings import Settings

_MAX_LAYERS = 16
_INNER = ("app", "wsgi_app", "application", "_app")
_OURS = "seclog."


def settings(app: Flask) -> Settings:
    """Return seclog's settings of this app.

    Raises:
        ConfigurationError: one is wrong.
    """
    from seclog.adapters.flask.configuration import load

    return load(app)


def look(app: Flask, name: str = "app", mounted_at: str = "") -> tuple[App, list[tuple[str, Any]]]:
    """Return what is known of the app, and the apps that a dispatcher in front of it mounts, with their paths.

    Args:
        app: the Flask app.
        name: how it was named.
        mounted_at: the path it is mounted at in another app.
    """
    ownership = Ownership((app.import_name, name.partition(":")[0]))
    layers = list(_layers(app))
    installed = _is_installed(app)
    found = App(
        framework="flask",
        version=version_of("flask"),
        name=name,
        mounted_at=mounted_at,
        installed=installed,
        middleware=tuple(dotted(layer) for layer in layers),
        position=0 if installed else None,
        routes=tuple(_routes(app, ownership)),
        traits=frozenset(_traits(app, layers, ownership)),
        calls=calls_of(ownership),
        watchable=like_configuration(tables(ownership)),
        trusts_everybody=tuple(_trusting(app)),
        proxy_signs=tuple(_proxy_signs(layers)),
    )
    return found, [mount for layer in layers for mount in _mounts(layer)]


def _is_installed(app: Flask) -> bool:
    hooks: list[Any] = [hook for found in app.after_request_funcs.values() for hook in found]
    return "seclog" in app.extensions or any(dotted(hook).startswith(_OURS) for hook in hooks)


def _routes(app: Flask, ownership: Ownership) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        if view is None or rule.endpoint.rpartition(".")[2] == "static":
            continue
        yield Route(
            path=rule.rule,
            methods=tuple(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})),
            name=rule.endpoint,
            view=name_of(view),
            own=ownership.owns(view),
            marks=marks_of(view),
        )


def _traits(app: Flask, layers: list[Any], ownership: Ownership) -> Iterator[str]:
    yield from (f"extension:{name}" for name in app.extensions)
    if hasattr(app, "login_manager"):  # Flask-Login keeps itself on the app, not among the extensions
        yield "extension:login_manager"
    if getattr(app.extensions.get("seclog"), "login_heuristic", True) is False:
        yield "login_heuristic:off"
    if isinstance(app.session_interface, SecureCookieSessionInterface):
        yield "sessions:cookie"
    if any(dotted(layer).endswith("ProxyFix") for layer in layers):
        yield "proxy:rewritten"
        yield "proxy:unchecked"
    yield from table_traits(tables(ownership))
    yield from library_traits(ownership, map(name_of, app.view_functions.values()))


def _layers(app: Flask) -> Iterator[Any]:
    """Return the WSGI middleware around the app, outermost first."""
    layer: Any = app.wsgi_app
    for _ in range(_MAX_LAYERS):
        if isinstance(layer, Flask) or getattr(layer, "__self__", None) is app:
            return
        yield layer
        layer = next((below for key in _INNER if (below := getattr(layer, key, None))), None)
        if layer is None:
            return


def _mounts(layer: Any) -> list[tuple[str, Any]]:
    mounts = getattr(layer, "mounts", None)
    return list(mounts.items()) if isinstance(mounts, dict) else []


def _trusting(app: Flask) -> Iterator[str]:
    yield from trusting_environment()
    if "*" in (app.config.get("TRUSTED_HOSTS") or ()):
        yield "TRUSTED_HOSTS: a client can choose the host"


def _proxy_signs(layers: list[Any]) -> Iterator[str]:
    for layer in layers:
        if dotted(layer).endswith("ProxyFix"):
            yield f"ProxyFix(x_for={getattr(layer, 'x_for', '?')})"
