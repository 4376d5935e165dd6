"""Family 6: access that was refused: by an exception, a status, or a redirect to the login.

Traps handled here (research/hooks.md §3): `before_request` may answer 403 without any exception; an error
handler may answer 200 for one.
"""

from typing import Final
from urllib.parse import unquote, urlsplit

from werkzeug.exceptions import Forbidden, Unauthorized

from seclog.adapters._login_names import is_login_name, is_logout_name
from seclog.adapters.flask.request import RequestScope
from seclog.events import Event, EventType

# A request that did one of these leads to the login because it is done, not because it was refused.
_ENDS_AT_LOGIN: Final = frozenset(
    {
        EventType.SESSION_LOGOUT,
        EventType.AUTHN_LOGIN_FAIL,
        EventType.AUTHN_PASSWORD_CHANGE,
        EventType.AUTHN_PASSWORD_RESET_COMPLETE,
        EventType.AUTHN_PASSWORD_RESET_REQUEST,
        EventType.USER_CREATED,
    }
)


def denial(scope: RequestScope, status: int) -> Event | None:
    """Return the event of a refused request, or None if the response refuses nothing."""
    if 300 <= status < 400 and leads_to_login(scope):
        if scope.user is not None:
            return denied(scope, "redirected_to_login")
        return unauthenticated(scope, "login_required")
    if isinstance(scope.exception, Forbidden):
        return denied(scope, "permission_denied")
    is_401 = status == 401 or isinstance(scope.exception, Unauthorized)
    if is_401 and scope.user is None:
        return unauthenticated(scope, "unauthorized")
    if is_401 or status == 403:
        return denied(scope, "unauthorized" if is_401 else "forbidden")
    return None


def denied(scope: RequestScope, reason: str, **more: object) -> Event:
    """Return the event for somebody who may not do this; the missing permission is named if known."""
    fields = {"seclog.view": scope.view, "seclog.permission": scope.denied_permission, **more}
    return Event(type=EventType.AUTHZ_FAIL, reason=reason, fields=_known(fields))


def unauthenticated(scope: RequestScope, reason: str, **more: object) -> Event:
    """Return the event for somebody who would have to say who they are first."""
    fields = {"seclog.view": scope.view, **more}
    return Event(type=EventType.AUTHZ_UNAUTHENTICATED, reason=reason, fields=_known(fields))


def _known(fields: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


def leads_to_login(scope: RequestScope) -> bool:
    """Tell whether a redirect sends the client to the login instead of what it asked for."""
    location = scope.header("location")
    if not location:
        return False
    target = urlsplit(location)
    if not is_login_name(target.path[-256:]):
        return False
    if scope.recorded and not _ENDS_AT_LOGIN.isdisjoint(scope.recorded):
        return False
    if is_logout_name(scope.endpoint or "") or is_logout_name(scope.path[-256:]):
        return False  # somebody logged out who was not logged in
    here = scope.path.rstrip("/")
    if here and unquote(target.path).rstrip("/").endswith(here):
        return False  # the login itself, with another scheme or slash
    return bool(target.query) or scope.method in {"GET", "HEAD"}  # a form that is done may lead there as well
