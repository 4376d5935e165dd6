"""What the doctor wants to know about a Django project: apps, middleware, user model, sessions, routes, proxies.

In: a project that is set up (`django.setup()`), and the doctor's question. Out: `App`, the facts. Makes no query.
"""

from collections.abc import Iterator
from typing import Any, Final

import django
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from seclog.adapters._look import (
    ROLE_FIELDS,
    Ownership,
    calls_of,
    library_traits,
    like_configuration,
    marks_of,
    name_of,
    trusting_environment,
)
from seclog.adapters.django import checks, conf
from seclog.doctor.facts import App, Route
from seclog.settings import Settings

_KNOWN_ROLES: Final = frozenset({"is_superuser", "permissions"})
_PROXY_MIDDLEWARE: Final = ("xforwarded", "realip", "proxy", "setremoteaddr", "xff")


def settings(app: Any = None) -> Settings:
    """Return seclog's settings of this project.

    Raises:
        ConfigurationError: one is wrong.
    """
    return conf.load()


def look(app: Any = None, name: str = "manage.py", mounted_at: str = "") -> tuple[App, list[tuple[str, Any]]]:
    """Return what is known of the project, and what is mounted in it (nothing: Django mounts no other app).

    Args:
        app: the WSGI or ASGI application; it knows nothing that the settings do not.
        name: how it was named.
        mounted_at: the path it is mounted at in another app.
    """
    module = str(getattr(django_settings, "SETTINGS_MODULE", "") or "")
    ownership = Ownership((module, str(django_settings.ROOT_URLCONF), name.partition(":")[0]))
    routes = tuple(_routes(ownership))
    found = App(
        framework="django",
        version=django.get_version(),
        name=name,
        mounted_at=mounted_at,
        installed=apps.is_installed(checks.APP),
        middleware=tuple(django_settings.MIDDLEWARE),
        position=checks._position(django_settings.MIDDLEWARE),
        routes=routes,
        traits=frozenset(_traits(ownership, routes)),
        calls=calls_of(ownership),
        watchable=_watchable(ownership),
        trusts_everybody=tuple(_trusting()),
        proxy_signs=tuple(_proxy_signs()),
    )
    return found, []


# ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────


def _routes(ownership: Ownership) -> Iterator[Route]:
    for path, pattern in _patterns(get_resolver(), ""):
        view = pattern.callback
        actions = getattr(view, "actions", None) or {}
        yield Route(
            path="/" + path.lstrip("/"),
            methods=tuple(sorted(method.upper() for method in actions)),
            name=pattern.name or "",
            view=name_of(view),
            own=ownership.owns(view),
            marks=marks_of(view, actions=actions.values()),
        )


def _patterns(resolver: Any, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        path = prefix + _path(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern, path)
        else:
            yield path, pattern


def _path(pattern: Any) -> str:
    """Return a pattern as it reads; of a regular expression, without its anchors."""
    return str(pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z").replace("\\.", ".").replace(r"\/", "/")


# ── traits ──────────────────────────────────────────────────────────────────────────────────────────────────


def _traits(ownership: Ownership, routes: tuple[Route, ...]) -> Iterator[str]:
    names = [config.name for config in apps.get_app_configs()]
    yield from names
    yield from library_traits(ownership, (*names, *_mentioned(), *(route.view for route in routes)))
    for path in django_settings.MIDDLEWARE:
        if path.endswith("SessionMiddleware"):
            yield "middleware:sessions"
    if _is_signed_cookies():
        yield "sessions:signed_cookies"
    if apps.is_installed("django.contrib.auth"):
        yield from _user_model()


def _mentioned() -> Iterator[str]:
    """Return the dotted names in the settings that say what a project uses without importing it."""
    yield from django_settings.MIDDLEWARE
    yield from django_settings.AUTHENTICATION_BACKENDS
    for value in getattr(django_settings, "REST_FRAMEWORK", {}).values():
        yield from (name for name in (value if isinstance(value, list | tuple) else ()) if isinstance(name, str))


def _is_signed_cookies() -> bool:
    try:
        return issubclass(import_string(f"{django_settings.SESSION_ENGINE}.SessionStore"), SignedCookieStore)
    except ImportError:
        return False


def _user_model() -> Iterator[str]:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import PermissionsMixin

    model = get_user_model()
    yield f"user_model:{model._meta.label}"
    if issubclass(model, AbstractBaseUser):
        yield "user:password"
    if issubclass(model, PermissionsMixin):
        yield "user:permissions"
    if (ROLE_FIELDS - _KNOWN_ROLES) & {field.name for field in model._meta.get_fields()}:
        yield "user:roles"


def _watchable(ownership: Ownership) -> tuple[str, ...]:
    """Return the project's own models that are named like configuration."""
    return like_configuration(model._meta.label for model in apps.get_models() if ownership.owns(model))


# ── trust ───────────────────────────────────────────────────────────────────────────────────────────────────


def _trusting() -> Iterator[str]:
    yield from trusting_environment()
    if "*" in django_settings.ALLOWED_HOSTS:
        yield "ALLOWED_HOSTS: a client can choose the host of links in mails, and no DisallowedHost is recorded"
    cors = ("CORS_ALLOW_ALL_ORIGINS", "CORS_ALLOW_CREDENTIALS")
    if all(getattr(django_settings, name, False) for name in cors):
        yield "CORS_ALLOW_ALL_ORIGINS with CORS_ALLOW_CREDENTIALS: any site can act as the user"


def _proxy_signs() -> Iterator[str]:
    if getattr(django_settings, "SECURE_PROXY_SSL_HEADER", None):
        yield "SECURE_PROXY_SSL_HEADER"
    for name in ("USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT"):
        if getattr(django_settings, name, False):
            yield name
    for path in django_settings.MIDDLEWARE:
        if any(word in path.rpartition(".")[2].lower() for word in _PROXY_MIDDLEWARE):
            yield path
