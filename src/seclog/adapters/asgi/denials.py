"""Family 6: access that was refused: by an exception, a status, a redirect to the login, or a closed WebSocket.

Traps handled here (research/hooks.md §4): `requires(redirect=…)` answers 303; a failed `AuthenticationBackend`
answers 400; a refused WebSocket is closed with 1008, 4403 or 1000, or answered with 403.
"""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from seclog.adapters import _denials
from seclog.adapters._denials import sent_to_login
from seclog.adapters._login_names import is_login_name, is_logout_name
from seclog.adapters.asgi import credentials, routes
from seclog.adapters.asgi.errors import is_a
from seclog.adapters.asgi.request import RequestScope
from seclog.events import Event, EventType

_MAX_LOCATION: Final = 4096


def denial(scope: RequestScope, status: int) -> Event | None:
    """Return the event of a refused request, or None if the response refuses nothing."""
    if 300 <= status < 400:
        if not leads_to_login(scope):
            return None
        return sent_to_login(scope.user is not None, scope.view, _permission(scope))
    if is_a(scope.exception, "AuthenticationError", "starlette.authentication"):
        return unauthenticated(scope, "authentication_failed")
    if status in {401, 403} and scope.user is None and credentials.are_missing(scope):
        return unauthenticated(scope, "not_authenticated")  # FastAPI answers 401, before 0.122 it was 403
    if status == 401 and scope.user is None:
        return unauthenticated(scope, "unauthorized")
    if status in {401, 403}:
        by_exception = status == 403 and getattr(scope.exception, "status_code", None) == 403
        reason = "permission_denied" if by_exception else "unauthorized" if status == 401 else "forbidden"
        return denied(scope, reason)
    return None


def denied(scope: RequestScope, reason: str, **more: object) -> Event:
    """Return the event for somebody who may not do this."""
    return _denials.denied(reason, scope.view, _permission(scope), **more)


def unauthenticated(scope: RequestScope, reason: str, **more: object) -> Event:
    """Return the event for somebody who would have to say who they are first."""
    return _denials.unauthenticated(reason, scope.view, **more)


def _permission(scope: RequestScope) -> str | None:
    return scope.denied_permission or " ".join(routes.refused(scope)) or None


def leads_to_login(scope: RequestScope) -> bool:
    """Tell whether a redirect sends the client to the login instead of what it asked for."""
    location = scope.header(b"location")
    if not location or len(location) > _MAX_LOCATION:
        return False
    target = urlsplit(location)
    if scope.status == 303 and _comes_back(target.query, scope.path.rstrip("/")):
        return True  # `requires(redirect=…)`, whatever the page is called
    if not is_login_name(target.path[-256:]):
        return False
    if is_logout_name(scope.path[-256:]):
        return False  # somebody logged out who was not logged in
    return _denials.is_refusal(scope, scope.method, scope.path, target)


def _comes_back(query: str, here: str) -> bool:
    """Tell whether a redirect says to come back here later, as Starlette writes it."""
    after = dict(parse_qsl(query)).get("next")
    return after is not None and urlsplit(after).path.rstrip("/") == here


# ── WebSockets ──────────────────────────────────────────────────────────────────────────────────────────────

_UNAUTHENTICATED: Final = frozenset({3000, 4401})
"""3000 is the registered code (IANA); 4401 is what many apps use."""
_OURS: Final = frozenset({1001, 1011, 1012, 1013})
"""The server's own trouble, not a refusal."""


def closed(scope: RequestScope, code: int) -> Event | None:
    """Return the event of a connection that was closed before it was accepted.

    Args:
        scope: the connection's.
        code: why, as RFC 6455 §7.4 numbers it.
    """
    fields: dict[str, object] = {"seclog.websocket.close_code": code}
    if "router" in scope.asgi and scope.asgi.get("endpoint") is None:
        return Event(type=EventType.API_CLIENT_ERROR, reason="not_found", fields=fields)
    if code in _OURS:
        return Event(type=EventType.API_SERVER_ERROR, reason="websocket_closed",
                     fields={**fields, "error.type": str(code)})  # fmt: skip
    if code in _UNAUTHENTICATED or is_a(scope.exception, "AuthenticationError", "starlette.authentication"):
        return unauthenticated(scope, "websocket_denied", **fields)
    return denied(scope, "websocket_denied", **fields)
