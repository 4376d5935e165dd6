"""Settings: one frozen object, validated once, from a mapping, then a TOML file, then the environment.

In: the app's mapping (`SECLOG = {…}`), the file named by `SECLOG_CONFIG`, the variables `SECLOG_<KEY>`; later ones
override earlier ones, key by key. Out: `Settings`, which also knows where each value came from. A wrong setting is a
`ConfigurationError` that names key, expectation, received type and cure; never the value, which may be a secret.
"""

import difflib
import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from seclog.context.address import AddressResolver
from seclog.errors import ConfigurationError

ENVIRONMENT_PREFIX: Final = "SECLOG_"
CONFIG_VARIABLE: Final = "SECLOG_CONFIG"
MIN_KEY_CHARACTERS: Final = 16
"""A shorter key could be guessed, and with it what the pseudonyms stand for."""


@dataclass(frozen=True)
class WatchSettings:
    """Loop 2.

    Args:
        enabled: whether this process may run the watch in a background thread.
        interval_seconds: the pause between two steps.
    """

    enabled: bool = True
    interval_seconds: float = 1.0


@dataclass(frozen=True)
class Settings:
    """What is in force.

    Args:
        directory: where the journal is kept; None writes entries to the logger `seclog` only.
        fallback_directory: a second place while `directory` refuses.
        service: `service.name` in every entry.
        version: `service.version`, or None.
        environment: `deployment.environment.name`, or None.
        trusted_proxies: networks of our own proxies, and "unix"; none by default: the peer is the client.
        watch_models: models whose changes are configuration: label -> field names, () for all.
        redact_keys: key names to mask besides the built-in ones.
        ignore_paths: path prefixes whose requests cause no request-level entry (health checks).
        sensitive_paths: path prefixes whose successful reads are recorded as access to sensitive data.
        ack: "kernel" (written when record returns; survives kill -9) or "disk" (survives power loss).
        on_failure: "degrade" (the app never notices) or "block" (what cannot be recorded is refused with 503).
        watch: see WatchSettings.
        retention_days: closed segments whose last entry is older are removed by the watch, and each removal is
            recorded; None keeps everything.
        log_entries: also give every entry to the logger `seclog`.
        record_unknown_usernames: write names that no user has as typed, instead of a keyed pseudonym. People type
            their password into the name field; the default never writes it.
        pseudonym_key: secret for keyed hashes of sessions, tokens and unknown names; None makes and keeps one.
        sources: where each key's value came from; for `seclog settings`.
    """

    directory: Path | None = Path(".seclog")
    fallback_directory: Path | None = None
    service: str = "app"
    version: str | None = None
    environment: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    watch_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    redact_keys: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()
    sensitive_paths: tuple[str, ...] = ()
    ack: Literal["kernel", "disk"] = "kernel"
    on_failure: Literal["degrade", "block"] = "degrade"
    watch: WatchSettings = WatchSettings()
    retention_days: int | None = None
    log_entries: bool = False
    record_unknown_usernames: bool = False
    pseudonym_key: str | None = field(default=None, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def load(
        cls,
        mapping: Mapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        defaults: Mapping[str, object] | None = None,
        origin: str = "SECLOG",
    ) -> "Settings":
        """Read, merge and validate.

        Args:
            mapping: the app's own settings.
            environ: the environment; os.environ if None.
            defaults: what the adapter knows better than we do (service name, directory).
            origin: what the mapping is called in messages.

        Raises:
            ConfigurationError: anything is wrong; the first wrong key is named.
        """
        environ = os.environ if environ is None else environ
        settings = cls._apply(cls(), defaults or {}, "adapter default", "default")
        settings = cls._apply(settings, mapping or {}, origin, origin)
        path = environ.get(CONFIG_VARIABLE)
        if path:
            settings = cls._apply(settings, _read_toml(path), path, path)
        for variable in sorted(environ):
            key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if variable == CONFIG_VARIABLE or not variable.startswith(ENVIRONMENT_PREFIX) or not _is_key(key):
                continue
            settings = cls._apply(settings, _from_environment(key, environ[variable], variable), variable, variable)
        return settings

    @classmethod
    def _apply(cls, settings: "Settings", values: object, origin: str, source: str) -> "Settings":
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"{origin} must be a mapping of settings, got {type(values).__name__}")
        for key, value in values.items():
            check = _CHECKS.get(key)
            if check is None:
                raise ConfigurationError(
                    f"{origin}[{str(key)[:64]!r}] is not a setting{_did_you_mean(str(key))}", key=str(key)
                )
            changes: dict[str, Any] = {key: check(value, _Place(origin, key, settings))}
            settings = replace(settings, **changes, sources={**settings.sources, key: source})
        return settings

    def shown(self) -> list[tuple[str, str, str]]:
        """Return (key, value as text, where it comes from) for every key; a secret is only said to be set."""
        rows = []
        for item in fields(self):
            if item.name == "sources":
                continue
            value = getattr(self, item.name)
            if item.name == "pseudonym_key":
                value = "set (not shown)" if value else "made and kept in the directory"
            rows.append((item.name, _text(value), self.sources.get(item.name, "default")))
        return rows

    def digest(self) -> str:
        """Return a digest of what is in force (16 hex digits); secrets take no part in it."""
        text = msgspec.json.encode([row[:2] for row in self.shown()])
        return hashlib.sha256(text).hexdigest()[:16]


# ── checks: one small function a kind of value ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Place:
    origin: str
    key: str
    before: Settings

    def expected(self, expected: str, received: object, *, below: str = "") -> ConfigurationError:
        return ConfigurationError.expected(f"{self.key}{below}", expected, received, origin=self.origin)


Check = Callable[[Any, _Place], object]


def _directory(value: Any, place: _Place) -> Path | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str | os.PathLike):
        raise place.expected("a path, or None to write to the logger only", value)
    return Path(value).expanduser()


def _text_of(maximum: int, *, minimum: int = 1, optional: bool = False) -> Check:
    def check(value: Any, place: _Place) -> str | None:
        if value is None and optional:
            return None
        if not isinstance(value, str) or not minimum <= len(value) <= maximum:
            raise place.expected(f"a text of {minimum} to {maximum} characters", value)
        return value

    return check


def _texts(value: Any, place: _Place) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | set | frozenset):
        raise place.expected("a list of texts", value)
    for item in value:
        if not isinstance(item, str) or not item:
            raise place.expected("a list of texts; each item", item)
    # A set has another order in every process; the digest of the settings must not.
    return tuple(sorted(value) if isinstance(value, set | frozenset) else value)


def _networks(value: Any, place: _Place) -> tuple[str, ...]:
    networks = _texts(value, place)
    try:
        AddressResolver(networks)
    except ConfigurationError:
        raise ConfigurationError(
            f'{place.origin}[{place.key!r}] must be a list of networks such as "10.0.0.0/8", or "unix", got another text;'
            f" to trust every peer would let any client choose its address",
            key=place.key,
        ) from None
    return networks


def _paths(value: Any, place: _Place) -> tuple[str, ...]:
    paths = _texts(value, place)
    if any(not path.startswith("/") for path in paths):
        raise ConfigurationError(
            f"{place.origin}[{place.key!r}] must be a list of path prefixes that begin with '/'", key=place.key
        )
    return paths


def _models(value: Any, place: _Place) -> dict[str, tuple[str, ...]]:
    if isinstance(value, Mapping):
        items = [(label, _texts([] if names == "*" else names, place)) for label, names in value.items()]
    else:
        items = [(label, ()) for label in _texts(value, place)]
    for label, _ in items:
        if not isinstance(label, str) or label.count(".") != 1:
            raise ConfigurationError(
                f'{place.origin}[{place.key!r}] must name models as "app_label.Model"', key=place.key
            )
    return dict(items)


def _one_of(*choices: str) -> Check:
    def check(value: Any, place: _Place) -> str:
        if value not in choices:
            raise place.expected(" or ".join(f'"{choice}"' for choice in choices), value)
        return str(value)

    return check


def _flag(value: Any, place: _Place) -> bool:
    if not isinstance(value, bool):
        raise place.expected("True or False", value)
    return value


def _days(value: Any, place: _Place) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise place.expected("a whole number of days, 1 at least, or None to keep everything", value)
    return value


def _watch(value: Any, place: _Place) -> WatchSettings:
    if isinstance(value, bool):
        return replace(place.before.watch, enabled=value)
    if isinstance(value, WatchSettings):
        return value
    if not isinstance(value, Mapping):
        raise place.expected("True, False or a mapping", value)
    watch = place.before.watch
    for key, item in value.items():
        if key == "enabled":
            if not isinstance(item, bool):
                raise place.expected("True or False", item, below=".enabled")
            watch = replace(watch, enabled=item)
        elif key == "interval_seconds":
            if isinstance(item, bool) or not isinstance(item, int | float) or not 0 < item <= 3600:
                raise place.expected("a positive number (of seconds, 3600 at most)", item, below=".interval_seconds")
            watch = replace(watch, interval_seconds=float(item))
        else:
            raise ConfigurationError(
                f"{place.origin}[{place.key!r}][{str(key)[:64]!r}] is not a setting; known: enabled, interval_seconds",
                key=f"watch.{key}",
            )
    return watch


_CHECKS: Final[dict[str, Check]] = {
    "directory": _directory,
    "fallback_directory": _directory,
    "service": _text_of(128),
    "version": _text_of(128, optional=True),
    "environment": _text_of(128, optional=True),
    "trusted_proxies": _networks,
    "watch_models": _models,
    "redact_keys": _texts,
    "ignore_paths": _paths,
    "sensitive_paths": _paths,
    "ack": _one_of("kernel", "disk"),
    "on_failure": _one_of("degrade", "block"),
    "watch": _watch,
    "retention_days": _days,
    "log_entries": _flag,
    "record_unknown_usernames": _flag,
    "pseudonym_key": _text_of(1024, minimum=MIN_KEY_CHARACTERS, optional=True),
}
KEYS: Final = tuple(_CHECKS)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_toml(path: str) -> Mapping[str, object]:
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{CONFIG_VARIABLE} names {path}, which cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    table = document.get("seclog", document)
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{path}: seclog must be a table, got {type(table).__name__}")
    return table


def _is_key(key: str) -> bool:
    return key in _CHECKS or key == "watch_interval_seconds"


def _from_environment(key: str, text: str, variable: str) -> dict[str, object]:
    """Turn a variable's text into the kind of value its key takes; lists are separated by commas."""
    if key == "watch_interval_seconds":
        return {"watch": {"interval_seconds": _number(text)}}
    if key in {"trusted_proxies", "watch_models", "redact_keys", "ignore_paths", "sensitive_paths"}:
        return {key: [item.strip() for item in text.split(",") if item.strip()]}
    if key == "retention_days":
        return {key: int(text) if text.isascii() and text.isdecimal() else text}
    if key in {"watch", "log_entries", "record_unknown_usernames"}:
        known = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in known:
            raise ConfigurationError(f"{variable} must be true or false, got another text", key=key)
        return {key: known[text.lower()]}
    return {key: text}


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _did_you_mean(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(KEYS)}"


def _text(value: object) -> str:
    match value:
        case WatchSettings():
            return f"{'on' if value.enabled else 'off'}, every {value.interval_seconds:g} s"
        case tuple():
            return ", ".join(value) or "none"
        case dict():
            return ", ".join(f"{k}({', '.join(v) or '*'})" for k, v in value.items()) or "none"
        case None:
            return "none"
        case _:
            return str(value)
