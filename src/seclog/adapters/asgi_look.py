"""What the doctor wants to know about a Starlette or FastAPI app: routes, mounts, middleware, dependencies.

In: the app object. Out: `App`, the facts, and what is mounted in it. Handles no request, builds no middleware stack.
"""

from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount

from seclog.adapters._look import (
    Ownership,
    calls_of,
    dotted,
    library_traits,
    like_configuration,
    marks_of,
    module_of,
    name_of,
    table_traits,
    tables,
    trusting_environment,
    version_of,
)
from seclog.doctor.facts import App, Route

_OURS = "seclog."
_MAX_DEPENDENCIES = 500


def look(app: Starlette, name: str = "app", mounted_at: str = "") -> tuple[App, list[tuple[str, Any]]]:
    """Return what is known of the app, and the apps that are mounted in it, with their paths.

    Args:
        app: the Starlette or FastAPI app.
        name: how it was named.
        mounted_at: the path it is mounted at in another app.
    """
    framework = "fastapi" if any(module_of(cls).startswith("fastapi.") for cls in type(app).__mro__) else "starlette"
    mounts: list[tuple[str, Any]] = []
    found = list(_endpoints(app.routes, "", mounts))
    ownership = Ownership((name.partition(":")[0],))
    middleware = tuple(dotted(item.cls) for item in app.user_middleware)
    position = _position(app, middleware)
    facts = App(
        framework=framework,
        version=version_of(framework),
        name=name,
        mounted_at=mounted_at,
        installed=position is not None,
        middleware=middleware,
        position=position,
        routes=tuple(_route(path, route, view, ownership) for path, route, view in found),
        traits=frozenset(_traits(found, middleware, ownership)),
        calls=calls_of(ownership),
        watchable=like_configuration(tables(ownership)),
        trusts_everybody=tuple(_trusting(app)),
        proxy_signs=tuple(_proxy_signs(middleware)),
    )
    return facts, mounts


def _position(app: Starlette, middleware: tuple[str, ...]) -> int | None:
    """Return where seclog stands: 0 if it wraps the whole stack or is the first of the middleware."""
    build = app.build_middleware_stack
    if module_of(build).startswith(_OURS) or module_of(getattr(build, "func", build)).startswith(_OURS):
        return 0
    return next((place for place, name in enumerate(middleware) if name.startswith(_OURS)), None)


# ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────

Found = tuple[str, BaseRoute, Any]


def _endpoints(routes: Any, prefix: str, mounts: list[tuple[str, Any]]) -> Iterator[Found]:
    for route in routes:
        path = prefix + str(getattr(route, "path", "") or "")
        if isinstance(route, Mount | Host):
            inner = getattr(route, "routes", None)
            if isinstance(route.app, Starlette) or not inner:
                mounts.append((path, route.app))
            else:
                yield from _endpoints(inner, path, mounts)
            continue
        included = getattr(route, "original_router", None)  # FastAPI keeps an included router as one route
        if included is not None:
            inner_prefix = str(getattr(getattr(route, "include_context", None), "prefix", "") or "")
            yield from _endpoints(included.routes, prefix + inner_prefix, mounts)
            continue
        endpoint = getattr(route, "endpoint", None)
        if endpoint is not None:
            yield path, route, endpoint


def _route(path: str, route: BaseRoute, view: Any, ownership: Ownership) -> Route:
    return Route(
        path=path,
        methods=tuple(sorted(set(getattr(route, "methods", None) or ()) - {"HEAD"})),
        name=str(getattr(route, "name", "") or ""),
        view=name_of(view),
        own=ownership.owns(view),
        marks=tuple(dict.fromkeys((*marks_of(view), *_dependency_marks(route)))),
    )


# ── dependencies ────────────────────────────────────────────────────────────────────────────────────────────


def _dependencies(route: Any) -> Iterator[Any]:
    """Return the functions and objects that a FastAPI route depends on, all the way down."""
    waiting = [getattr(route, "dependant", None)]
    for _ in range(_MAX_DEPENDENCIES):
        dependant = waiting.pop() if waiting else None
        if dependant is None:
            return
        for inner in getattr(dependant, "dependencies", ()):
            yield inner.call
            waiting.append(inner)


def _dependency_marks(route: BaseRoute) -> Iterator[str]:
    for call in _dependencies(route):
        if call is not None:
            yield from marks_of(call)


def _traits(found: list[Found], middleware: tuple[str, ...], ownership: Ownership) -> Iterator[str]:
    yield from library_traits(ownership, (*middleware, *(name_of(view) for _, _, view in found)))
    yield from table_traits(tables(ownership))
    yield from (f"middleware:{name}" for name in middleware)
    if any(name.endswith("ProxyHeadersMiddleware") for name in middleware):
        yield "proxy:rewritten"
    for _, route, _ in found:
        for call in _dependencies(route):
            name = getattr(call, "__name__", type(call).__name__)
            if name.startswith("OAuth2PasswordRequestForm"):
                yield "form:OAuth2PasswordRequestForm"
            if any(module_of(cls).startswith("fastapi.security") for cls in type(call).__mro__):
                yield "dependencies:security"


# ── trust ───────────────────────────────────────────────────────────────────────────────────────────────────


def _trusting(app: Starlette) -> Iterator[str]:
    yield from trusting_environment()
    for item in app.user_middleware:
        name = dotted(item.cls).rpartition(".")[2]
        options: dict[str, Any] = dict(item.kwargs)
        if name == "ProxyHeadersMiddleware" and options.get("trusted_hosts") in ("*", ["*"]):
            yield "ProxyHeadersMiddleware: every client can choose the address it is recorded with"
        if name == "TrustedHostMiddleware" and "*" in (options.get("allowed_hosts") or ("*",)):
            yield "TrustedHostMiddleware: a client can choose the host"
        everywhere = "*" in (options.get("allow_origins") or ())
        if name == "CORSMiddleware" and everywhere and options.get("allow_credentials"):
            yield "CORSMiddleware with allow_credentials: any site can act as the user"


def _proxy_signs(middleware: tuple[str, ...]) -> Iterator[str]:
    yield from (name.rpartition(".")[2] for name in middleware if name.endswith("ProxyHeadersMiddleware"))
