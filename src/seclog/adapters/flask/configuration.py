"""Settings: `app.config["SECLOG"]`. And family 9: the app's configuration, compared with that of the last start."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from flask import Flask

from seclog.adapters._settings_fingerprint import Configuration, compare
from seclog.assembly import Installation
from seclog.settings import Settings

_NOT_COMPARED: Final = frozenset({"SECLOG"})
"""Told by its own digest."""
_CLEAR: Final = re.compile(
    r"DEBUG|TESTING|PROPAGATE_EXCEPTIONS|TRAP_\w+|MAX_\w+|PREFERRED_URL_SCHEME|SERVER_NAME|USE_X_SENDFILE"
    r"|(SESSION|REMEMBER_COOKIE|WTF_CSRF|JWT_COOKIE|JWT_SESSION|PERMANENT_SESSION|SECURITY)_\w+"
)
_PROTECTIVE: Final = re.compile(
    r"\w+_SECURE|\w+_HTTPONLY|\w+_SAMESITE:strict_or_lax|WTF_CSRF_ENABLED|WTF_CSRF_CHECK_DEFAULT"
    r"|JWT_COOKIE_CSRF_PROTECT|TRUSTED_HOSTS:set|SECRET_KEY:set"
)


def load(app: Flask) -> Settings:
    """Read `app.config["SECLOG"]`, the TOML file and the environment.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    defaults = {"directory": Path.cwd() / ".seclog", "service": app.name}
    return Settings.load(app.config.get("SECLOG", {}), defaults=defaults, origin="SECLOG")


def compare_config(app: Flask, installation: Installation | None) -> None:
    """Compare the app's configuration with that of the last start, tell the difference, and keep it for the next.

    Two apps of one service have a file each.
    """
    service = "" if installation is None else installation.settings.service
    compare(_configuration(app), installation, None if service == app.name else f"{service}-{app.name}")


def _configuration(app: Flask) -> Configuration:
    def values() -> Iterator[tuple[str, Callable[[], object]]]:
        for name in sorted(name for name in app.config if isinstance(name, str) and name.isupper()):
            if name not in _NOT_COMPARED:
                yield name, partial(app.config.__getitem__, name)

    return Configuration(
        target="flask.config",
        values=values,
        clear=_CLEAR,
        protective=_PROTECTIVE,
        dangerous=frozenset({"DEBUG", "TESTING", "PERMANENT_SESSION_LIFETIME:seconds"}),
        facts={
            "DEBUG": lambda value: [("DEBUG", bool(value))],
            "SECRET_KEY": lambda value: [("SECRET_KEY:set", bool(value))],
            "TRUSTED_HOSTS": lambda value: [("TRUSTED_HOSTS:set", bool(value))],
            "SESSION_COOKIE_SAMESITE": _same_site,
            "PERMANENT_SESSION_LIFETIME": _lifetime,
        },
    )


def _same_site(value: object) -> list[tuple[str, object]]:
    return [("SESSION_COOKIE_SAMESITE:strict_or_lax", str(value).lower() in {"strict", "lax"})]


def _lifetime(value: object) -> list[tuple[str, object]]:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return [("PERMANENT_SESSION_LIFETIME:seconds", seconds if isinstance(seconds, int | float) else None)]
