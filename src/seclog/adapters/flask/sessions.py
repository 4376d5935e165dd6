"""Family 3: what becomes of sessions, read off when the response leaves: whom the session belonged to when the
request came, against whom it belongs to now (`_sessions`).

Flask signs its sessions and keeps them in the cookie: it cannot revoke one, and a session as such has no name. What
tells one from another is in `users.session_id`.
"""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature, SignatureExpired

from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters._sessions import EXPIRED, UNKNOWN, Look, tell_change, tell_lost
from seclog.adapters._users import Who
from seclog.adapters.flask.request import RequestScope
from seclog.adapters.flask.users import session_id, session_user
from seclog.context import current

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
        return {}, EXPIRED
    except BadSignature:
        return {}, UNKNOWN


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
    now = _look(app, scope.session)
    if loss is not None and now.user is None:
        cookie = _cookie(scope)
        tell_lost(loss, cookie, lambda: _look(app, _serializer(app).loads(cookie)))
    if _is_sent(scope):
        tell_change(scope, _look(app, data), now, has_key=hasattr(scope.session, "sid"))


def _look(app: Flask, session: object) -> Look:
    return Look(session_user(app, session), session_id(app, session))


def _is_sent(scope: RequestScope) -> bool:
    """Tell whether the answer sets or deletes the session's cookie."""
    start = f"{_cookie_name(scope.app)}="
    return any(value.startswith(start) for key, value in scope.headers if key.lower() == "set-cookie")


def session_before(scope: RequestScope) -> Mapping[str, Any]:
    """Return what was in the session when the request came."""
    return _before(scope)[0]


def user_before(scope: RequestScope) -> Who | None:
    """Return whom the session belonged to when the request came."""
    return session_user(scope.app, session_before(scope))
