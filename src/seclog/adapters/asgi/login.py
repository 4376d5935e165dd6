"""Family 1 for an app that logs in by its own code: a heuristic, since ASGI and Starlette know of no logins.

Looked at are POSTs to a FastAPI endpoint that depends on `OAuth2PasswordRequestForm`, and those to an endpoint or a
path that is called like a login; what their answers mean is in `_logins`. `login_heuristic=False` turns it off.
"""

from collections.abc import Mapping
from typing import Any

from seclog.adapters import _logins
from seclog.adapters.asgi import routes
from seclog.adapters.asgi.parameters import typed
from seclog.adapters.asgi.request import RequestScope
from seclog.adapters.asgi.users import session_user


def is_attempt(scope: RequestScope) -> bool:
    """Tell whether a request is to be looked at."""
    if scope.asgi.get("method") != "POST":
        return False
    facts = routes.facts(scope)
    return facts.is_token or facts.is_login


def observe(scope: RequestScope, came: Mapping[str, Any]) -> None:
    """Record how a login ended, if that can be told.

    Args:
        scope: the request's.
        came: what was in the session when the request came.
    """
    if scope.status is None or _logins.is_told(scope):
        return
    attempt = _logins.Attempt(
        came=session_user(came),
        now=session_user(scope.asgi.get("session")),
        sent=typed(scope),
        status=scope.status,
        content_type=scope.header(b"content-type") or "",
        location=scope.header(b"location"),
        path=scope.path,
        language=scope.sent(b"accept-language"),
        is_token=routes.facts(scope).is_token,
    )
    _logins.observe(scope, attempt)
