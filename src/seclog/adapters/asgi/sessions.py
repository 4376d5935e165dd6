"""Family 3: what becomes of Starlette's sessions, read off when the response leaves: whom the session belonged to when
the request came, against whom it belongs to now (`_sessions`).

Starlette signs its sessions and keeps them in the cookie: it cannot revoke one, and an expired or forged cookie becomes
an empty session without a word (`starlette/middleware/sessions.py`). Its middleware is looked at, not changed.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from seclog.adapters._sessions import EXPIRED, UNKNOWN, Look, tell_change, tell_lost
from seclog.adapters.asgi.credentials import cookie
from seclog.adapters.asgi.errors import layers
from seclog.adapters.asgi.request import RequestScope
from seclog.adapters.asgi.users import session_id, session_user

_MAX_COOKIE: Final = 8192


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
    now = _look(scope.asgi.get("session"))
    if _is_sent_again(scope, middleware.session_cookie):
        tell_change(scope, _look(came), now)
    elif why is not None and now.user is None:
        value = cookie(scope, middleware.session_cookie) or ""
        tell_lost(why, value, lambda: _look(json.loads(b64decode(middleware.signer.unsign(value.encode())))))


def _look(session: object) -> Look:
    return Look(session_user(session), session_id(session))


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
        return {}, EXPIRED if type(error).__name__ == "SignatureExpired" else UNKNOWN
    return (data if isinstance(data, Mapping) else {}), None


def _is_sent_again(scope: RequestScope, name: str) -> bool:
    start = f"{name}=".encode("latin-1", "replace")
    return any(value.startswith(start) for key, value in scope.headers if key.lower() == b"set-cookie")
