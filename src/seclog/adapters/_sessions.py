"""What became of a session between two looks at it, for frameworks that keep it in a signed cookie: whom it belonged
to when the request came, against whom it belongs to now.

    before   now      meaning
    nobody   a user   created
    a user   another  created, for the other one
    a user   nobody   left: the app emptied it
    a user   the same, under another key: renewed (sessions kept on the server)
    –        nobody   the cookie that came was no session: expired, or not signed by us

The adapter tells only of sessions that are sent again.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from seclog.adapters._hooks import tell
from seclog.adapters._scope import WebScope, session_hash
from seclog.adapters._users import Who
from seclog.events import Event, EventType


class Look(NamedTuple):
    """A session at one moment."""

    user: Who | None
    hashed: str | None
    """The keyed hash of what tells it from others."""


EXPIRED: Final = "expired"
UNKNOWN: Final = "unknown"
"""Why a cookie was no session."""
MEANING: Final = {
    UNKNOWN: (EventType.SESSION_USE_AFTER_EXPIRE, "unknown_session"),
    EXPIRED: (EventType.SESSION_EXPIRED, "expired"),
    "revoked": (EventType.SESSION_EXPIRED, "revoked"),
    "flushed": (EventType.SESSION_LOGOUT, "flushed"),
}
"""How a session ended -> what is recorded, in every framework."""

_ENDED: Final = frozenset({EventType.SESSION_LOGOUT, EventType.SESSION_EXPIRED, EventType.SESSION_REVOKED})
"""What the app or a library may have told already of a session that is no more; the end is told once."""
_MAX_TOLD: Final = 4096
_told: dict[str, None] = {}
"""Hashes of dead cookies that were told. Frameworks leave such a cookie with the client, who sends it ever again."""


def tell_change(scope: WebScope, came: Look, now: Look, *, has_key: bool = False) -> None:
    """Record what became of a session that is sent again.

    Args:
        scope: the request's.
        came: the session when the request came.
        now: the session when the answer leaves.
        has_key: whether the session has a key of its own, so that another one means that it was renewed.
    """
    if now.user is None:
        if came.user is not None and _ENDED.isdisjoint(scope.recorded):
            kind, reason = MEANING["flushed"]
            tell(Event(type=kind, reason=reason, fields=_about(came.user, came.hashed)))
        return
    scope.context.session = now.hashed
    user_id = now.user[0]
    if came.user is None or came.user[0] != user_id:
        if scope.context.user_id is None or (came.user is not None and scope.context.user_id == came.user[0]):
            scope.bind_user(*now.user)
        if EventType.SESSION_CREATED not in scope.recorded:
            tell(Event(type=EventType.SESSION_CREATED, fields=_about((user_id, None), now.hashed)))
    elif has_key and came.hashed != now.hashed:
        fields = {**_about((user_id, None), now.hashed), "seclog.session.previous_id_hash": came.hashed}
        tell(Event(type=EventType.SESSION_RENEWED, fields=fields))


def tell_lost(why: str, cookie: str | None, read: Callable[[], Look]) -> None:
    """Record that a cookie was no session any more, once a cookie.

    Args:
        why: `EXPIRED` or `UNKNOWN`.
        cookie: what came.
        read: looks at what an expired cookie holds; it is signed by us, only old.
    """
    hashed = session_hash(cookie)
    if hashed is None or hashed in _told:
        return
    if len(_told) >= _MAX_TOLD:
        _told.clear()
    _told[hashed] = None
    fields: dict[str, object] = {"seclog.session.id_hash": hashed}
    if why == EXPIRED:
        old = read()
        if old.user is None:
            return  # an anonymous session: nothing ended
        fields = _about(old.user, old.hashed or hashed)
    kind, reason = MEANING[why]
    tell(Event(type=kind, reason=reason, fields=fields))


def _about(user: Who, hashed: str | None) -> dict[str, object]:
    fields = {"user.id": user[0], "user.name": user[1], "seclog.session.id_hash": hashed}
    return {key: value for key, value in fields.items() if value is not None}
