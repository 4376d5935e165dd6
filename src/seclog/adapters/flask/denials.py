"""Family 6: access that was refused: by an exception, a status, or a redirect to the login.

Traps handled here (research/hooks.md §3): `before_request` may answer 403 without any exception; an error
handler may answer 200 for one.
"""

from urllib.parse import urlsplit

from werkzeug.exceptions import Forbidden, Unauthorized

from seclog.adapters import _denials
from seclog.adapters._denials import sent_to_login
from seclog.adapters._login_names import is_login_name, is_logout_name
from seclog.adapters.flask.request import RequestScope
from seclog.events import Event


def denial(scope: RequestScope, status: int) -> Event | None:
    """Return the event of a refused request, or None if the response refuses nothing."""
    if 300 <= status < 400 and leads_to_login(scope):
        return sent_to_login(scope.user is not None, scope.view, scope.denied_permission)
    if isinstance(scope.exception, Forbidden):
        return denied(scope, "permission_denied")
    is_401 = status == 401 or isinstance(scope.exception, Unauthorized)
    if is_401 and scope.user is None:
        return _denials.unauthenticated("unauthorized", scope.view)
    if is_401 or status == 403:
        return denied(scope, "unauthorized" if is_401 else "forbidden")
    return None


def denied(scope: RequestScope, reason: str) -> Event:
    """Return the event for somebody who may not do this."""
    return _denials.denied(reason, scope.view, scope.denied_permission)


def leads_to_login(scope: RequestScope) -> bool:
    """Tell whether a redirect sends the client to the login instead of what it asked for."""
    location = scope.header("location")
    if not location:
        return False
    target = urlsplit(location)
    if not is_login_name(target.path[-256:]):
        return False
    if is_logout_name(scope.endpoint or "") or is_logout_name(scope.path[-256:]):
        return False  # somebody logged out who was not logged in
    return _denials.is_refusal(scope, scope.method, scope.path, target)
