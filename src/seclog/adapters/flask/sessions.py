"""Family 3: what becomes of sessions, read off when the response leaves: whom the session belonged to when the
request came, against whom it belongs to now.

    before   now      the cookie is sent again   meaning
    nobody   a user   yes                        created
    a user   another  yes                        created, for the other one
    a user   nobody   yes                        left
    a user   the same, under another key         renewed (sessions kept on the server)
    –        nobody   the cookie that came was no session: expired, or not signed by us

Flask signs its sessions and keeps them in the cookie: it cannot revoke one, and a session as such has no name. What
tells one from another is in `users.session_id`.
"""

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature, SignatureExpired

from seclog.adapters._hooks import contained, tell, wrap_method
from seclog.adapters._scope import session_hash
from seclog.adapters.flask.request import RequestScope
from seclog.adapters.flask.users import session_id, session_user
from seclog.context import current
from seclog.events import Event, EventType

_LOST: Final = {
    "expired": (EventType.SESSION_EXPIRED, "expired"),
    "unknown": (EventType.SESSION_USE_AFTER_EXPIRE, "unknown_session"),
}
_ENDED: Final = frozenset({EventType.SESSION_LOGOUT, EventType.SESSION_EXPIRED})
"""What the app or a library may have told already of a session that is no more."""
_MAX_TOLD: Final = 4096
_told: dict[str, None] = {}
"""Hashes of dead cookies that were told. Flask leaves such a cookie with the client, who sends it ever again."""


# ── what was in it before ─────────────────────────────────────────────────────────────────────────────────
#
# A cookie holds the session as it was: it is read again when an event needs it. A session that is kept on the server
# is another one by then, so what is in it is copied when it is opened.


def connect(app: Flask) -> None:
    """Wrap the app's session interface, if it is not Flask's own."""
    if not _is_in_cookie(app):
        wrap_method(app.session_interface, "open_session", _opened, library=type(app.session_interface).__name__)


def _is_in_cookie(app: Flask) -> bool:
    return type(app.session_interface).open_session is SecureCookieSessionInterface.open_session


def _opened(original: Any, *args: Any, **kwargs: Any) -> Any:
    session = original(*args, **kwargs)
    with contained("opening a session"):
        scope = current()
        # Apps of one process may share a session interface: the others' requests are none of ours.
        if isinstance(scope, RequestScope) and args and args[0] is scope.app:
            key = getattr(session, "sid", None)
            scope.opened = {**dict(session or {}), **({"sid": key} if isinstance(key, str) else {})}
    return session


def _before(scope: RequestScope) -> tuple[Mapping[str, Any], str | None]:
    """Return what was in the session when the request came; and if the cookie was no session, why."""
    if scope.opened is not None:
        return scope.opened, None
    cookie = _cookie(scope)
    serializer = _serializer(scope.app)
    if not cookie or serializer is None:
        return {}, None
    try:
        return serializer.loads(cookie, max_age=int(scope.app.permanent_session_lifetime.total_seconds())), None
    except SignatureExpired:
        return {}, "expired"
    except BadSignature:
        return {}, "unknown"


def _serializer(app: Flask) -> Any:
    find = getattr(app.session_interface, "get_signing_serializer", None)
    return find(app) if find is not None and _is_in_cookie(app) else None


def _cookie_name(app: Flask) -> str:
    return str(app.config["SESSION_COOKIE_NAME"])


def _cookie(scope: RequestScope) -> str | None:
    request = scope.request
    return None if request is None else request.cookies.get(_cookie_name(scope.app))


def is_lost(scope: RequestScope) -> bool:
    """Tell whether the request has a session's cookie, but no session. Stands in the way of every request."""
    sent = scope.environ.get("HTTP_COOKIE")
    if not sent or f"{scope.app.config['SESSION_COOKIE_NAME']}=" not in sent:
        return False
    return not scope.session and _before(scope)[1] is not None


# ── at the response ───────────────────────────────────────────────────────────────────────────────────────


def observe(scope: RequestScope) -> None:
    """Record what became of the request's session."""
    app = scope.app
    data, loss = _before(scope)
    before, after = session_user(app, data), session_user(app, scope.session)
    if loss is not None and after is None:
        _tell_lost(scope, loss)
    if not _is_sent(scope):
        return
    old, new = session_id(app, data), session_id(app, scope.session)
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
    elif hasattr(scope.session, "sid") and old != new:
        fields = {**_about((after[0], None), new), "seclog.session.previous_id_hash": old}
        tell(Event(type=EventType.SESSION_RENEWED, fields=fields))


def _about(user: tuple[str, str | None], hashed: str | None) -> dict[str, object]:
    fields = {"user.id": user[0], "user.name": user[1], "seclog.session.id_hash": hashed}
    return {key: value for key, value in fields.items() if value is not None}


def _is_sent(scope: RequestScope) -> bool:
    """Tell whether the answer sets or deletes the session's cookie."""
    start = f"{_cookie_name(scope.app)}="
    return any(value.startswith(start) for key, value in scope.headers if key.lower() == "set-cookie")


def session_before(scope: RequestScope) -> Mapping[str, Any]:
    """Return what was in the session when the request came."""
    return _before(scope)[0]


def user_before(scope: RequestScope) -> tuple[str, str | None] | None:
    """Return whom the session belonged to when the request came."""
    return session_user(scope.app, session_before(scope))


def _tell_lost(scope: RequestScope, kind: str) -> None:
    cookie = _cookie(scope)
    hashed = session_hash(cookie)
    if hashed is None or hashed in _told:
        return
    if len(_told) >= _MAX_TOLD:
        _told.clear()
    _told[hashed] = None
    fields: dict[str, object] = {"seclog.session.id_hash": hashed}
    if kind == "expired":
        data = _serializer(scope.app).loads(cookie)  # it is signed by us, only old
        user = session_user(scope.app, data)
        if user is None:
            return  # an anonymous session: nothing ended
        fields = _about(user, session_id(scope.app, data) or hashed)
    event_type, reason = _LOST[kind]
    tell(Event(type=event_type, reason=reason, fields=fields))
