"""System checks: what `manage.py check` says about our settings. Ids are unique; each message says its cure.

Errors are settings that cannot work; warnings are an app that runs and records less than it should. None of
them needs `--deploy`, and none touches the database.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.utils.module_loading import import_string

from seclog.adapters.django import conf
from seclog.errors import ConfigurationError
from seclog.settings import Settings

APP: Final = "seclog.adapters.django"
MIDDLEWARE: Final = "seclog.adapters.django.SecurityEventMiddleware"


def register_all() -> None:
    """Register the checks. Safe to call twice."""
    for check in (check_settings, check_middleware, check_app):
        checks.register(check, checks.Tags.security)


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check `SECLOG`, and what it names: directories, proxies, models, sessions."""
    try:
        settings = conf.load()
    except ConfigurationError as error:
        hint = "Correct the key that is named; until then nothing is recorded."
        return [checks.Error(str(error), hint=hint, id="seclog.E001")]
    return [message for look in _LOOKS for message in look(settings)]


def check_middleware(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check that the middleware is there, and that it is first."""
    position = _position(django_settings.MIDDLEWARE)
    if position is None:
        return [
            checks.Warning(
                "seclog's middleware is missing: logins and changes are recorded without address and request;"
                " sessions, downloads, refused access and errors are not recorded at all.",
                hint=f'Put "{MIDDLEWARE}" first in MIDDLEWARE.',
                id="seclog.W001",
            )
        ]
    if position > 0:
        return [
            checks.Warning(
                f"seclog's middleware is number {position + 1} in MIDDLEWARE:"
                " what the ones before it refuse or answer is not recorded.",
                hint=f'Move "{MIDDLEWARE}" to the first place.',
                id="seclog.W002",
            )
        ]
    return []


def check_app(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check that the app is installed where its middleware is."""
    if apps.is_installed(APP) or _position(django_settings.MIDDLEWARE) is None:
        return []
    return [
        checks.Warning(
            "seclog's middleware is used, but its app is not installed: nothing is recorded.",
            hint=f'Add "{APP}" to INSTALLED_APPS.',
            id="seclog.W003",
        )
    ]


def _position(middleware: list[str]) -> int | None:
    """Return where our middleware, or a subclass of it, stands. Django reports what cannot be imported."""
    from seclog.adapters.django.middleware import SecurityEventMiddleware

    for position, path in enumerate(middleware):
        try:
            found = import_string(path)
        except ImportError:
            continue
        if isinstance(found, type) and issubclass(found, SecurityEventMiddleware):
            return position
    return None


# ── what the settings name ──────────────────────────────────────────────────────────────────────────────────


def _directories(settings: Settings) -> Iterator[checks.CheckMessage]:
    for key in ("directory", "fallback_directory"):
        directory = getattr(settings, key)
        problem = None if directory is None else unwritable(directory)
        if problem is not None:
            yield checks.Error(
                f"SECLOG[{key!r}]: {directory} cannot be written: {problem}.",
                hint=f"Name a directory that the user of this process (uid {os.getuid()}) may create and"
                " write; None writes to the logger only.",
                id="seclog.E003",
            )


def unwritable(directory: Path) -> str | None:
    """Return why nothing can be written there, or None. Tries it: permissions alone do not tell."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"seclog")
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _proxies(settings: Settings) -> Iterator[checks.CheckMessage]:
    for network in settings.trusted_proxies:
        if network != "unix" and ip_network(network, strict=False).prefixlen == 0:
            yield checks.Warning(
                f"SECLOG['trusted_proxies'] contains {network}:"
                " every client can choose the address it is recorded with.",
                hint="Name only the networks of your own proxies.",
                id="seclog.W004",
            )


def _models(settings: Settings) -> Iterator[checks.CheckMessage]:
    from seclog.adapters.django.configuration import unknown_models

    for name in unknown_models(settings):
        yield checks.Error(
            f"SECLOG['watch_models'] names {name}, which this project does not have.",
            hint='Write "app_label.Model", and fields by their names in the model.',
            id="seclog.E004",
        )


def _sessions(settings: Settings) -> Iterator[checks.CheckMessage]:
    if django_settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        yield checks.Warning(
            "Sessions are kept in signed cookies: they have no id, so they cannot be followed or revoked.",
            hint="Use the engine db, cached_db or cache, or silence this check if that is known.",
            id="seclog.W005",
        )


_LOOKS: Final[tuple[Callable[[Settings], Iterator[checks.CheckMessage]], ...]] = (
    _directories,
    _proxies,
    _models,
    _sessions,
)
