"""Family 9: the project's settings, compared with those of the last start; see `_settings_fingerprint`."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from django.conf import settings as django_settings
from django.utils.functional import Promise

from seclog.adapters._settings_fingerprint import Configuration, compare
from seclog.assembly import Installation

_NOT_COMPARED: Final = frozenset({"SECLOG", "SETTINGS_MODULE"})
"""Told by its own digest; and no setting but where they are."""

_PROTECTIVE_MIDDLEWARE: Final = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "seclog.adapters.django.SecurityEventMiddleware",
)


def _values() -> Iterator[tuple[str, Callable[[], object]]]:
    for name in dir(django_settings):
        if name.isupper() and name not in _NOT_COMPARED:
            yield name, partial(getattr, django_settings._wrapped, name)  # unwrapped: no warning of deprecated ones


def _plain(value: object) -> object:
    """A lazy translation is its source text here."""
    return getattr(value, "_args", ()) if isinstance(value, Promise) else NotImplemented


CONFIGURATION: Final = Configuration(
    target="django.settings",
    values=_values,
    clear=re.compile(
        r"DEBUG|APPEND_SLASH|USE_X_FORWARDED_\w+|(SECURE|CSRF|SESSION|LANGUAGE_COOKIE|PASSWORD_RESET)_\w+"
    ),
    protective=re.compile(r"SECURE_\w+|\w+_SECURE|\w+_HTTPONLY|MIDDLEWARE:.+|AUTH_PASSWORD_VALIDATORS:count"),
    dangerous=frozenset({"DEBUG", "ALLOWED_HOSTS:*"}),
    facts={
        "DEBUG": lambda value: [("DEBUG", bool(value))],
        "ALLOWED_HOSTS": lambda value: [("ALLOWED_HOSTS:*", "*" in value)],
        "AUTH_PASSWORD_VALIDATORS": lambda value: [("AUTH_PASSWORD_VALIDATORS:count", len(value))],
        "MIDDLEWARE": lambda value: [(f"MIDDLEWARE:{path}", path in value) for path in _PROTECTIVE_MIDDLEWARE],
    },
    plain=_plain,
)


def compare_settings(installation: Installation | None) -> None:
    """Compare the settings with those of the last start, tell the difference, and keep them for the next."""
    compare(CONFIGURATION, installation)
