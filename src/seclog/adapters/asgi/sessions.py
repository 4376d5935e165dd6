"""Family 3: what becomes of Starlette's sessions, read off when the response leaves: whom the session belonged to when
the request came, against whom it belongs to now.

    before   now      the cookie is sent again   meaning
    nobody   a user   yes                        created
    a user   another  yes                        created, for the other one
    a user   nobody   yes                        left
    –        nobody   the cookie that came was no session: expired, or not signed by us

Starlette signs its sessions and keeps them in the cookie: it cannot revoke one, and an expired or forged cookie becomes
an empty session without a word (`starlette/middleware/sessions.py`). Its middleware is looked at, not changed.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from seclog.adapters._hooks import tell
from seclog.adapters._scope import session_hash
from seclog.adapters.asgi.credentials import cookie
from seclog.adapters.asgi.errors import layers
from seclog.adapters.asgi.request import RequestScope
from seclog.adapters.asgi.users import session_id, session_user
from seclog.events import Event, EventType

_ENDED: Final = frozenset({EventType.SESSION_LOGOUT, EventType.SESSION_EXPIRED, EventType.SESSION_REVOKED})
"""What the app may have told of a session's end itself; the end is told once."""
_MAX_TOLD: Final = 4096
_MAX_COOKIE: Final = 8192
_told: dict[str, None] = {}
"""Hashes of dead cookies that were told. Starlette leaves such a cookie with the client, who sends it ever again."""


def middleware_in(stack: Any) -> Any:
    """Return the session middleware in a stack, or None."""
    return next((layer for layer in layers(stack) if _signs(layer)), None)


def _signs(layer: Any) -> bool:
    return hasattr(layer, "session_cookie") and hasattr(getattr(layer, "signer", None), "unsign")


def is_lost(scope: RequestScope, middleware: Any) -> bool:
    """Tell in as few steps as can be whether a cookie came and yet the session is empty."""
    session = scope.asgi.get("session")
    if session is None or len(session) > 0 or middleware is None:
        return False
    return any(key == b"cookie" for key, _ in scope.asgi.get("headers", ()))


def observe(scope: RequestScope, middleware: Any) -> None:
    """Record what became of the request's session."""
    if middleware is None or "session" not in scope.asgi:
        return
    came, why = _came(scope, middleware)
    after_data = scope.asgi.get("session")
    before, after = session_user(came), session_user(after_data)
    sent = _sent_again(scope, middleware.session_cookie)
    if why is not None and after is None and not sent:
        _tell_lost(scope, middleware, why)
    if not sent:
        return
    old, new = session_id(came), session_id(after_data)
    if after is None:
        if before is not None and _ENDED.isdisjoint(scope.recorded):
            tell(Event(type=EventType.SESSION_LOGOUT, fields=_about(before, old)))
        return
    scope.context.session = new
    if before is None or before[0] != after[0]:
        if scope.context.user_id is None or (before is not None and scope.context.user_id == before[0]):
            scope.bind_user(*after)
        if EventType.SESSION_CREATED not in scope.recorded:
            tell(Event(type=EventType.SESSION_CREATED, fields=_about((after[0], None), new)))


def before(scope: RequestScope, middleware: Any) -> Mapping[str, Any]:
    """Return what was in the session when the request came."""
    return {} if middleware is None else _came(scope, middleware)[0]


def _came(scope: RequestScope, middleware: Any) -> tuple[Mapping[str, Any], str | None]:
    """Return what the cookie held; and if it was not accepted, why."""
    value = cookie(scope, middleware.session_cookie)
    if not value or value == "null" or len(value) > _MAX_COOKIE:
        return {}, None
    try:
        signed = middleware.signer.unsign(value.encode(), max_age=middleware.max_age)
        data = json.loads(b64decode(signed))
    except Exception as error:  # noqa: BLE001 - itsdangerous is not imported: its exceptions are known by their names
        return {}, "expired" if type(error).__name__ == "SignatureExpired" else "unknown"
    return (data if isinstance(data, Mapping) else {}), None


def _sent_again(scope: RequestScope, name: str) -> bool:
    start = f"{name}=".encode("latin-1", "replace")
    return any(value.startswith(start) for key, value in scope.headers if key.lower() == b"set-cookie")


def _about(user: tuple[str, str | None], hashed: str | None) -> dict[str, object]:
    fields = {"user.id": user[0], "user.name": user[1], "seclog.session.id_hash": hashed}
    return {key: value for key, value in fields.items() if value is not None}


def _tell_lost(scope: RequestScope, middleware: Any, why: str) -> None:
    value = cookie(scope, middleware.session_cookie) or ""
    hashed = session_hash(value)
    if hashed is None or hashed in _told:
        return
    if len(_told) >= _MAX_TOLD:
        _told.clear()
    _told[hashed] = None
    if why == "unknown":
        fields: dict[str, object] = {"seclog.session.id_hash": hashed}
        tell(Event(type=EventType.SESSION_USE_AFTER_EXPIRE, reason="unknown_session", fields=fields))
        return
    data = json.loads(b64decode(middleware.signer.unsign(value.encode())))  # it is signed by us, only old
    user = session_user(data)
    if user is not None:  # else an anonymous session: nothing ended
        fields = _about(user, session_id(data) or hashed)
        tell(Event(type=EventType.SESSION_EXPIRED, reason="expired", fields=fields))
