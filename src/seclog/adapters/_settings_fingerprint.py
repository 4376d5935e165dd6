"""Family 9: has an app's configuration changed since the last start, and is the app less protected than it was?

Framework-free. In: the configuration as an adapter reads it, and `<directory>/settings-<name>.json` from the
last start. Out: one entry for all workers that start together. The file holds keyed digests; clear values only
of harmless flags and numbers, and of facts that the adapter names. It is trusted no further than any file:
what cannot be read is "no last start".
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from seclog.adapters._hooks import contained, tell
from seclog.assembly import Installation
from seclog.events import Event, EventType
from seclog.journal.lock import FileLock

internal_log = logging.getLogger("seclog.internal")

VERSION: Final = 1
MAX_BYTES: Final = 1 << 20
MAX_NAMES: Final = 100
LOCK_SECONDS: Final = 2.0


def _no_plain(value: object) -> object:
    return NotImplemented


@dataclass(frozen=True)
class Configuration:
    """An app's configuration, and what its names say about protection.

    Args:
        target: what it is called in an entry.
        values: yields a function for each name that returns its value; one that fails is left out and reported.
        clear: names whose values may be kept in clear, if they are flags or numbers.
        protective: names under which a lower value protects less: True → False, an hour → none.
        dangerous: names under which a higher value protects less.
        facts: what a value that is no flag says about protection, as facts that may be kept in clear.
        plain: turns a framework's own kind of value into a plain one; returns NotImplemented for all others.
    """

    target: str
    values: Callable[[], Iterable[tuple[str, Callable[[], object]]]]
    clear: re.Pattern[str]
    protective: re.Pattern[str]
    dangerous: frozenset[str] = frozenset()
    facts: Mapping[str, Callable[[Any], Iterable[tuple[str, object]]]] = field(default_factory=dict)
    plain: Callable[[object], object] = _no_plain

    def is_weaker(self, name: str, old: object, new: object) -> bool:
        """Tell whether the app is less protected under the new value."""
        before, after = (float(value) if isinstance(value, bool | int | float) else 0.0 for value in (old, new))
        if name in self.dangerous:
            return after > before
        return bool(self.protective.fullmatch(name)) and after < before


def compare(configuration: Configuration, installation: Installation | None, name: str | None = None) -> None:
    """Compare a configuration with that of the last start, tell the difference, and keep it for the next.

    The first start tells nothing. Without a directory there is no last start.

    Args:
        configuration: what the adapter reads.
        installation: where to tell; None tells nothing.
        name: the app's name, by which the file is found again; the service's if None.
    """
    if installation is None or installation.settings.directory is None:
        return
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name or installation.settings.service)
    path = installation.settings.directory.absolute() / f"settings-{safe}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path.with_suffix(".lock")) as held:
        if not held:
            internal_log.warning("seclog: the settings were not compared: %s is held by another process", path.name)
            return
        now = fingerprint(configuration, installation)
        last = _read(path)
        if last == now:
            return
        if last is not None:
            for event in differences(configuration, last, now):
                tell(event)
        _write(path, now)  # after telling: a crash in between tells twice, never not at all


def fingerprint(configuration: Configuration, installation: Installation) -> dict[str, Any]:
    """Return what is kept of a configuration: keyed digests, and the clear values of harmless names."""
    digests: dict[str, str] = {}
    clear: dict[str, object] = {}
    for name, read in configuration.values():
        with contained("reading a setting"):
            value = read()
            text = _canonical(value, configuration.plain)
            digests[name] = installation.pseudonym("setting", f"{name}={text}")[:16]
            if configuration.clear.fullmatch(name) and isinstance(value, bool | int | float | None):
                clear[name] = value
            if name in configuration.facts:
                clear.update(configuration.facts[name](value))
    return {
        "version": VERSION,
        "key": installation.pseudonym("setting", "the key itself")[:16],
        "digests": digests,
        "clear": clear,
        "seclog": installation.settings.digest(),
    }


def differences(configuration: Configuration, last: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Event]:
    """Make the events that tell what changed between two fingerprints."""
    before, after = last["clear"], now["clear"]
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if last["key"] == now["key"]:  # under another key every digest differs, and says nothing
        old, new = last["digests"], now["digests"]
        parents = {name.partition(":")[0] for name in changed}
        changed |= {name for name in old.keys() | new.keys() if old.get(name) != new.get(name) and name not in parents}
    if changed:
        names = sorted(changed)
        weakened = [name for name in names if configuration.is_weaker(name, before.get(name), after.get(name))]
        fields: dict[str, object] = {
            "seclog.target.name": configuration.target,
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


def _shown(name: str, state: Mapping[str, Any]) -> object:
    """Return a value as it may be written: in clear, or as its keyed digest."""
    if name in state["clear"]:
        return state["clear"][name]
    digest = state["digests"].get(name)
    return None if digest is None else f"digest:{digest}"


def _canonical(value: object, plain: Callable[[object], object], depth: int = 0) -> str:
    """Return a text that is the same in every process: no addresses, no order of a set."""
    if isinstance(value, str | int | float | bool | bytes | None):
        return repr(value)
    if depth > 16:
        return "…"

    def inner(item: object) -> str:
        return _canonical(item, plain, depth + 1)

    known = plain(value)
    if known is not NotImplemented:
        return inner(known)
    if isinstance(value, Mapping):
        return f"{{{','.join(sorted(f'{inner(k)}:{inner(v)}' for k, v in value.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(inner(item) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(inner(item) for item in value))}}}"
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
