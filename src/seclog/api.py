"""What app code calls. Every function here is safe in a request: nothing raises, unless `on_failure="block"` says so.

The decorators work on sync and async functions, on methods, and on class-based views (classes with `dispatch`).
"""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from seclog.assembly import Installation
from seclog.context import JobScope, attempt, current, enter, leave
from seclog.errors import NotRecordedError
from seclog.events.event import Event
from seclog.events.fields import native_field
from seclog.events.types import EventType
from seclog.settings import Settings

internal_log = logging.getLogger("seclog.internal")
T = TypeVar("T")

NOT_CONFIGURED: Final = "[seclog is not configured]"
"""Stands for a pseudonym before there is a key to make one with."""
UNREADABLE: Final = "[unreadable]"
"""Stands for a pseudonym of a value that cannot be read."""

_installed: Installation | None = None
_said_unconfigured = False


def configure(settings: Settings | Mapping[str, object] | None = None) -> Installation:
    """Set seclog up in this process and return what runs. Adapters call this; scripts without a framework may too.

    Args:
        settings: Settings, or a mapping of them; a TOML file and the environment override a mapping.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    if not isinstance(settings, Settings):
        settings = Settings.load(settings)
    return install(Installation(settings))


def install(installation: Installation | None) -> Installation:
    """Make an installation the one of this process; the one before is shut down."""
    global _installed
    before, _installed = _installed, installation
    if before is not None and before is not installation:
        before.shut_down("reconfigured")
    return installation  # type: ignore[return-value]


def installed() -> Installation | None:
    """Return the installation of this process, or None before `configure`."""
    return _installed


def record(event: Event) -> str | None:
    """Record an event and return its id; None if it could not be written, which is counted and told.

    Raises:
        NotRecordedError: only with `on_failure="block"`.
    """
    global _said_unconfigured
    if _installed is None:
        if not _said_unconfigured:
            _said_unconfigured = True
            internal_log.warning("seclog: an event was emitted before seclog.configure(): it is not recorded")
        return None
    try:
        return _installed.recorder.record(event)
    except NotRecordedError:
        scope = current()
        if scope is not None:
            scope.not_recorded()  # whoever catches the error on its way: the request is refused
        raise


def _record_of_app(event: Event) -> str | None:
    """Record an event that the app's own code tells: who acts is worth a look-up then."""
    scope = current()
    if scope is not None:
        scope.resolve_user()
    return record(event)


def named(fields: Mapping[str, object]) -> dict[str, object]:
    """Give fields the names they have in an entry (`target_id` becomes `seclog.target.id`); ids are text there."""
    found = {native_field(_dotted(str(key))): value for key, value in fields.items()}
    return {key: str(value) if key.endswith(".id") and type(value) is int else value for key, value in found.items()}


def _text(value: object) -> str:
    """Return an id or a name as text; an object that fails to say what it is must not break the app."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - see above
        return f"[unprintable {type(value).__name__}: {type(error).__name__}]"


@contextmanager
def _contained(where: str) -> Iterator[None]:
    """Let no error of ours out of the block, except the one that `on_failure="block"` asks for."""
    try:
        yield
    except NotRecordedError:
        raise
    except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
        if _installed is not None:
            _installed.recorder.complain(where, error)


def _dotted(key: str) -> str:
    """Keyword arguments cannot hold dots: the first underscore of a known group stands for one."""
    group, underscore, rest = key.partition("_")
    return f"{group}.{rest}" if underscore and group in _GROUPS and rest else key


_GROUPS = frozenset(
    {"target", "user", "change", "auth", "token", "session", "group", "file", "client", "rule", "error"}
)


def emit(
    event_type: EventType | str,
    *,
    outcome: str | None = None,
    severity: str | None = None,
    message: str | None = None,
    reason: str | None = None,
    **fields: object,
) -> str | None:
    """Record an event of any type.

    Args:
        event_type: the type; a name that the catalogue does not have is recorded and marked as unknown.
        outcome: "success", "failure" or "unknown"; the catalogue's default if None.
        severity: "informational", "low", "medium", "high" or "critical"; the catalogue's default if None.
        message: one sentence for a person.
        reason: a short cause, for machines.
        **fields: facts, such as `target_id=17` (written as `seclog.target.id`) or `count=3`.

    Returns:
        The event's id, or None if it could not be written.
    """
    return _record_of_app(
        Event(type=event_type, outcome=outcome, severity=severity, message=message, reason=reason, fields=named(fields))
    )


# ── access ───────────────────────────────────────────────────────────────────────────────────────────────────────


def denied(
    reason: str = "denied",
    *,
    permission: object = None,
    target_type: str | None = None,
    target_id: object = None,
    **fields: object,
) -> None:
    """Say that your own code refuses what was asked for.

    In a request nothing is written yet: one entry tells of it when the response, and with it the status, is known.
    Outside of a request, or once the response has started, it is recorded at once.

    Args:
        reason: a short cause, for machines, such as "not_owner".
        permission: what would have been needed.
        target_type: what kind of thing was asked for, such as "invoice".
        target_id: its id.
        **fields: more facts.
    """
    facts: dict[str, object] = {
        "seclog.permission": None if permission is None else _text(permission),
        "seclog.target.type": target_type,
        "seclog.target.id": None if target_id is None else _text(target_id),
        **named(fields),
    }
    event = Event(
        type=EventType.AUTHZ_FAIL, reason=reason, fields={key: v for key, v in facts.items() if v is not None}
    )
    scope = current()
    if scope is None or not scope.propose(event, by_app=True):
        _record_of_app(event)


# ── pseudonyms ───────────────────────────────────────────────────────────────────────────────────────────────────


def pseudonym(purpose: str, value: str) -> str:
    """Return a keyed hash of a value, to compare entries by: `seclog.pseudonym("token", token)`.

    The same value gives the same 32 hex digits for as long as the key (`pseudonym_key`) is the same; nobody without
    the key can test a guess. Safe from threads and from the event loop.

    Args:
        purpose: what the value is, such as "token"; under two purposes the same value gives two pseudonyms.
        value: what must not be written.

    Returns:
        The pseudonym; never the value: before `configure`, and for a value that is no text, a fixed text.
    """
    if _installed is None:
        return NOT_CONFIGURED
    made = UNREADABLE
    with _contained("a pseudonym"):
        made = _installed.pseudonym(_text(purpose), _text(value))
    return made


def unknown_name(name: str) -> str:
    """Return how a name that no user has is written: people type their password into the name field.

    Args:
        name: what was typed as the user's name.

    Returns:
        `unknown:` and a pseudonym; the name itself only where `record_unknown_usernames` says so. Before `configure`
        a fixed text.
    """
    if _installed is None:
        return NOT_CONFIGURED
    made = UNREADABLE
    with _contained("the pseudonym of a name"):
        made = _installed.unknown_name(_text(name))
    return made


# ── login ────────────────────────────────────────────────────────────────────────────────────────────────────────


def login_succeeded(
    user_id: object, user_name: object = None, *, method: str = "password", **fields: object
) -> str | None:
    """Record a login that your own code performed, and bind the user to the request."""
    bind_user(user_id, user_name)
    return record(
        Event(
            type=EventType.AUTHN_LOGIN_SUCCESS,
            fields={"user.id": _text(user_id), "user.name": user_name, "seclog.auth.method": method, **named(fields)},
        )
    )


def login_failed(
    identifier: object,
    reason: str = "invalid_credentials",
    *,
    user_id: object = None,
    known: bool | None = None,
    **fields: object,
) -> str | None:
    """Record a failed login that your own code refused.

    Args:
        identifier: what was typed as the user's name.
        reason: "invalid_credentials", "unknown_user", "inactive", "locked" …
        user_id: the user's id, if the user is known.
        known: whether a user of that name exists. A name that nobody has is written as a keyed pseudonym: people
            type their password into the name field. None: known, unless the reason is "unknown_user".
        **fields: more facts.
    """
    name = _text(identifier)
    if known is None:
        known = user_id is not None or reason != "unknown_user"
    if not known:
        name = unknown_name(name)
    who: dict[str, object] = {"user.name": name} if user_id is None else {"user.id": _text(user_id), "user.name": name}
    with attempt() as session_user:
        fields = {**who, **session_user, **named(fields)}
        return record(Event(type=EventType.AUTHN_LOGIN_FAIL, reason=reason, fields=fields))


def bind_user(user_id: object, user_name: object = None) -> None:
    """Say who acts in the current request or job; entries from here on name this user."""
    scope = current()
    if scope is not None:
        scope.bind_user(*(None if value is None else _text(value) for value in (user_id, user_name)))


@contextmanager
def actor(name: str) -> Iterator[None]:
    """Name who works outside a request: `with actor("cron:cleanup"): …` in commands, tasks and jobs."""
    parent = current()
    scope = JobScope(name, parent)
    token = enter(scope)
    try:
        yield
    finally:
        leave(token)
        if parent is not None:
            parent.recorded += tuple(kind for kind in scope.recorded if kind not in parent.recorded)


# ── data, admin actions, changes ─────────────────────────────────────────────────────────────────────────────────

_SENSITIVE = {
    "create": EventType.SENSITIVE_CREATE,
    "read": EventType.SENSITIVE_READ,
    "update": EventType.SENSITIVE_UPDATE,
    "delete": EventType.SENSITIVE_DELETE,
}


def sensitive(
    resource: str, *, action: str = "read", id_kwarg: str | None = None, count: int | Callable[[Any], int] = 1
) -> Callable[[T], T]:
    """Decorate a view or function that touches sensitive data: each success is recorded.

    Args:
        resource: what kind of data, such as "patients".
        action: "create", "read", "update" or "delete".
        id_kwarg: the keyword argument that holds the record's id.
        count: how many records, or a function of the result that tells.
    """
    if action not in _SENSITIVE:
        raise ValueError(f"action must be one of {', '.join(_SENSITIVE)}, got {action!r}")

    def tell(kwargs: dict[str, Any], result: object, error: BaseException | None) -> None:
        if error is None and _succeeded(result):
            fields = {
                "seclog.target.type": resource,
                "seclog.count": _count(count, result),
                **_target(kwargs, id_kwarg),
            }
            _record_of_app(Event(type=_SENSITIVE[action], fields=fields))

    return _decorator(tell, f"sensitive {resource}")


def export(
    resource: str, *, rows: int | Callable[[Any], int] | None = None, format: str | None = None
) -> Callable[[T], T]:
    """Decorate a view or function that exports data: each success is recorded.

    Args:
        resource: what kind of data, such as "orders".
        rows: how many rows, or a function of the result that tells; None if unknown.
        format: "csv", "xlsx" …
    """

    def tell(kwargs: dict[str, Any], result: object, error: BaseException | None) -> None:
        if error is None and _succeeded(result):
            fields = {"seclog.target.type": resource, "seclog.count": _count(rows, result), "seclog.format": format}
            _record_of_app(Event(type=EventType.DATA_EXPORT, fields=fields))

    return _decorator(tell, f"export {resource}")


def admin_action(name: str, *, target_type: str | None = None, id_kwarg: str | None = None) -> Callable[[T], T]:
    """Decorate an administrative action: each call is recorded, with success or failure.

    Args:
        name: what is done, such as "refund".
        target_type: what it is done to, such as "order".
        id_kwarg: the keyword argument that holds the target's id.
    """

    def tell(kwargs: dict[str, Any], result: object, error: BaseException | None) -> None:
        succeeded = error is None and _succeeded(result)
        fields: dict[str, object] = {"seclog.action": name, **_target(kwargs, id_kwarg)}
        if target_type is not None:
            fields["seclog.target.type"] = target_type
        if error is not None:
            fields["error.type"] = type(error).__name__
        outcome = "success" if succeeded else "failure"
        _record_of_app(Event(type=EventType.AUTHZ_ADMIN, outcome=outcome, fields=fields))

    return _decorator(tell, f"admin_action {name}")


class Change:
    """Holds the old and the new value of what is being changed; set `old` and `new` inside the `with` block."""

    def __init__(self) -> None:
        self.old: object = None
        self.new: object = None


@contextmanager
def change(
    subject: str, *, target_id: object = None, event_type: EventType = EventType.CONFIG_CHANGED
) -> Iterator[Change]:
    """Record a change, old → new: `with change("tax_rate") as c: c.old = …; c.new = …`.

    Nothing is recorded when the block raises or when nothing changed.

    Args:
        subject: the name of what changes. If it names a secret, both values are masked.
        target_id: the id of the object it belongs to, if any.
        event_type: the type to record.
    """
    both = Change()
    yield both
    if _same(both.old, both.new):
        return
    fields: dict[str, object] = {
        "seclog.target.name": subject,
        "seclog.change.field": subject,
        "seclog.change.old": both.old,
        "seclog.change.new": both.new,
    }
    if target_id is not None:
        fields["seclog.target.id"] = _text(target_id)
    _record_of_app(Event(type=event_type, fields=fields))


def _same(old: object, new: object) -> bool:
    try:
        return bool(old == new)
    except Exception:  # noqa: BLE001 - what cannot be compared (arrays, foreign types) counts as changed
        return False


Tell = Callable[[dict[str, Any], object, BaseException | None], None]
MARK = "__seclog__"
"""The attribute by which `seclog doctor` sees that a view is decorated, and with what."""


def _decorator(tell_of_it: Tell, mark: str) -> Callable[[T], T]:
    def tell(kwargs: dict[str, Any], result: object, error: BaseException | None) -> None:
        with _contained("a decorator"):
            tell_of_it(kwargs, result, error)

    def decorate(subject: T) -> T:
        if inspect.isclass(subject):
            for name in ("dispatch", "dispatch_request"):
                method = getattr(subject, name, None)
                if callable(method):
                    setattr(subject, name, _marked(_wrap(method, tell), mark))
                    return subject
            raise TypeError(f"{subject.__name__} has no dispatch method: decorate a view class or a function")
        if not callable(subject):
            raise TypeError(f"expected a function or a view class, got {type(subject).__name__}")
        wrapped: T = _marked(_wrap(subject, tell), mark)
        return wrapped

    return decorate


def _marked(wrapped: Any, mark: str) -> Any:
    setattr(wrapped, MARK, (*getattr(wrapped, MARK, ()), mark))
    return wrapped


def _wrap(function: Any, tell: Tell) -> Any:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            return await _finish(function(*args, **kwargs), kwargs, tell)

    else:

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                tell(kwargs, None, error)
                raise
            if inspect.isawaitable(result):  # a sync dispatch that leads to an async handler
                return _finish(result, kwargs, tell)
            tell(kwargs, result, None)
            return result

    return wrapped


async def _finish(pending: Awaitable[T], kwargs: dict[str, Any], tell: Tell) -> T:
    try:
        result = await pending
    except BaseException as error:
        if isinstance(error, Exception):
            await _resolve_user()
        tell(kwargs, None, error)
        raise
    await _resolve_user()
    tell(kwargs, result, None)
    return result


async def _resolve_user() -> None:
    scope = current()
    if scope is not None:
        await scope.aresolve_user()


def _succeeded(result: object) -> bool:
    status = getattr(result, "status_code", None)
    return not isinstance(status, int) or status < 400


def _count(count: int | Callable[[Any], int] | None, result: object) -> object:
    if not callable(count):
        return count
    try:
        return count(result)
    except Exception as error:  # noqa: BLE001 - the app's own counting must not break its answer
        return f"[count failed: {type(error).__name__}]"


def _target(kwargs: Mapping[str, Any], id_kwarg: str | None) -> dict[str, object]:
    if id_kwarg is None or id_kwarg not in kwargs:
        return {}
    return {"seclog.target.id": _text(kwargs[id_kwarg])}
