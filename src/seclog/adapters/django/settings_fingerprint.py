"""Family 9: have the project's settings changed since the last start, and is the app less protected than it
was?

In: Django's settings, and `<directory>/settings-<service>.json` from the last start. Out: one entry for all
workers that start together. The file holds keyed digests; clear values only of harmless flags and numbers
(DEBUG, SECURE_…, CSRF_…, SESSION_COOKIE_…) and of the facts below. It is trusted no further than any file:
what cannot be read is "no last start".
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.conf import settings as django_settings
from django.utils.functional import Promise

from seclog.adapters._hooks import contained, tell
from seclog.assembly import Installation
from seclog.events import Event, EventType
from seclog.journal.lock import FileLock

internal_log = logging.getLogger("seclog.internal")

VERSION: Final = 1
MAX_BYTES: Final = 1 << 20
MAX_NAMES: Final = 100
LOCK_SECONDS: Final = 2.0

_NOT_COMPARED: Final = frozenset({"SECLOG", "SETTINGS_MODULE"})
"""Told by its own digest; and no setting but where they are."""
_CLEAR: Final = re.compile(
    r"DEBUG|APPEND_SLASH|USE_X_FORWARDED_\w+|(SECURE|CSRF|SESSION|LANGUAGE_COOKIE|PASSWORD_RESET)_\w+"
)
_PROTECTIVE: Final = re.compile(r"SECURE_\w+|\w+_SECURE|\w+_HTTPONLY|MIDDLEWARE:.+|AUTH_PASSWORD_VALIDATORS:count")
"""A lower value protects less: True → False, an hour → none."""
_DANGEROUS: Final = frozenset({"DEBUG", "ALLOWED_HOSTS:*"})
"""A higher value protects less."""

_PROTECTIVE_MIDDLEWARE: Final = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "seclog.adapters.django.SecurityEventMiddleware",
)

_FACTS: Final[Mapping[str, Callable[[], Iterator[tuple[str, object]]]]] = {
    "DEBUG": lambda: iter([("DEBUG", bool(django_settings.DEBUG))]),
    "ALLOWED_HOSTS": lambda: iter([("ALLOWED_HOSTS:*", "*" in django_settings.ALLOWED_HOSTS)]),
    "AUTH_PASSWORD_VALIDATORS": lambda: iter(
        [("AUTH_PASSWORD_VALIDATORS:count", len(django_settings.AUTH_PASSWORD_VALIDATORS))]
    ),
    "MIDDLEWARE": lambda: (
        (f"MIDDLEWARE:{path}", path in django_settings.MIDDLEWARE) for path in _PROTECTIVE_MIDDLEWARE
    ),
}
"""What a setting that is no flag says about protection, as facts that may be kept in clear."""


def compare_settings(installation: Installation | None) -> None:
    """Compare the settings with those of the last start, tell the difference, and keep them for the next.

    The first start tells nothing. Without a directory there is no last start.
    """
    if installation is None or installation.settings.directory is None:
        return
    service = re.sub(r"[^A-Za-z0-9._-]", "_", installation.settings.service)
    path = installation.settings.directory.absolute() / f"settings-{service}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path.with_suffix(".lock")) as held:
        if not held:
            internal_log.warning("seclog: the settings were not compared: %s is held by another process", path.name)
            return
        now = fingerprint(installation)
        last = _read(path)
        if last == now:
            return
        if last is not None:
            for event in differences(last, now):
                tell(event)
        _write(path, now)  # after telling: a crash in between tells twice, never not at all


def fingerprint(installation: Installation) -> dict[str, Any]:
    """Return what is kept of the settings: keyed digests, and the clear values of harmless ones."""
    digests: dict[str, str] = {}
    clear: dict[str, object] = {}
    for name in dir(django_settings):
        if not name.isupper() or name in _NOT_COMPARED:
            continue
        with contained("reading a setting"):
            value = getattr(django_settings._wrapped, name)  # unwrapped: no warning of deprecated ones
            digests[name] = installation.pseudonym("setting", f"{name}={_canonical(value)}")[:16]
            if _CLEAR.fullmatch(name) and isinstance(value, bool | int | float | None):
                clear[name] = value
            if name in _FACTS:
                clear.update(_FACTS[name]())
    return {
        "version": VERSION,
        "key": installation.pseudonym("setting", "the key itself")[:16],
        "digests": digests,
        "clear": clear,
        "seclog": installation.settings.digest(),
    }


def differences(last: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Event]:
    """Make the events that tell what changed between two fingerprints."""
    before, after = last["clear"], now["clear"]
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if last["key"] == now["key"]:  # under another key every digest differs, and says nothing
        old, new = last["digests"], now["digests"]
        parents = {name.partition(":")[0] for name in changed}
        changed |= {name for name in old.keys() | new.keys() if old.get(name) != new.get(name) and name not in parents}
    if changed:
        names = sorted(changed)
        weakened = [name for name in names if _is_weaker(name, before.get(name), after.get(name))]
        fields: dict[str, object] = {
            "seclog.target.name": "django.settings",
            "seclog.change.field": names[:MAX_NAMES],
            "seclog.change.old": {name: _shown(name, last) for name in names[:MAX_NAMES]},
            "seclog.change.new": {name: _shown(name, now) for name in names[:MAX_NAMES]},
            "seclog.count": len(names),
        }
        if weakened:
            fields["seclog.change.weakened"] = weakened
        yield Event(
            type=EventType.CONFIG_CHANGED,
            severity="high" if weakened else None,
            reason="weakened" if weakened else None,
            fields=fields,
        )
    if last["seclog"] != now["seclog"]:
        values = {"seclog.change.old": last["seclog"], "seclog.change.new": now["seclog"]}
        yield Event(
            type=EventType.AUDIT_LOG_CONFIG_CHANGED,
            fields={"seclog.target.name": "seclog.settings", **values},
        )


def _is_weaker(name: str, old: object, new: object) -> bool:
    before, after = (float(value) if isinstance(value, bool | int | float) else 0.0 for value in (old, new))
    if name in _DANGEROUS:
        return after > before
    return bool(_PROTECTIVE.fullmatch(name)) and after < before


def _shown(name: str, state: Mapping[str, Any]) -> object:
    """Return a value as it may be written: in clear, or as its keyed digest."""
    if name in state["clear"]:
        return state["clear"][name]
    digest = state["digests"].get(name)
    return None if digest is None else f"digest:{digest}"


def _canonical(value: object, depth: int = 0) -> str:
    """Return a text that is the same in every process: no addresses, no order of a set."""
    if isinstance(value, str | int | float | bool | bytes | None):
        return repr(value)
    if depth > 16:
        return "…"
    if isinstance(value, Promise):
        return _canonical(getattr(value, "_args", ()), depth + 1)  # a lazy translation is its source text here
    if isinstance(value, Mapping):
        pairs = (f"{_canonical(k, depth + 1)}:{_canonical(v, depth + 1)}" for k, v in value.items())
        return f"{{{','.join(sorted(pairs))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(_canonical(item, depth + 1) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(_canonical(item, depth + 1) for item in value))}}}"
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock file; wait for a bounded time, since a start must not hang on a stopped process."""
    lock = FileLock(path)
    deadline = time.monotonic() + LOCK_SECONDS
    while not lock.acquire() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield lock.held
    finally:
        lock.release()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            state = json.loads(file.read(MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        internal_log.warning(
            "seclog: %s cannot be read (%s): this start counts as the first", path, type(error).__name__
        )
        return None
    kinds = {"key": str, "digests": dict, "clear": dict, "seclog": str}
    if not isinstance(state, dict) or state.get("version") != VERSION:
        return None
    return state if all(isinstance(state.get(name), kind) for name, kind in kinds.items()) else None


def _write(path: Path, state: Mapping[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, json.dumps(state, sort_keys=True).encode())
    finally:
        os.close(fd)
    fresh.replace(path)
