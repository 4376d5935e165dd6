"""Family 1 for an app that logs in by its own code: a heuristic, since ASGI and Starlette know of no logins.

Looked at are POSTs to a FastAPI endpoint that depends on `OAuth2PasswordRequestForm`, and those to an endpoint or a
path that is called like a login.

    what came of it                                             told as
    a token endpoint answers 2xx                                login, with the name that was typed
    a token endpoint answers 400, 401, 403 or 422               failed login
    the session names a user whom it did not name before        login
    400, 401, 403, 422; a page again (200, HTML); or a redirect
    back to itself, after a name or a password was sent         failed login

All else tells nothing that could be relied on. Whatever the app (`seclog.login_succeeded`, `seclog.login_failed`) or a
library's integration has told of a login is not told again. Entries made here carry `seclog.detected_by: heuristic`.
`login_heuristic=False` turns it off. Nobody asks here whether a user of that name exists, so a failed login's name is
written as a keyed pseudonym.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from seclog import api
from seclog.adapters._hooks import tell
from seclog.adapters.asgi import routes
from seclog.adapters.asgi.parameters import typed
from seclog.adapters.asgi.request import RequestScope
from seclog.adapters.asgi.users import session_user
from seclog.events import Event, EventType

_NAMES: Final = ("username", "email", "login", "user", "user_name", "userid", "user_id", "name", "identifier",
                 "account", "nick", "nickname", "mail")  # fmt: skip
_REFUSED: Final = frozenset({400, 401, 403, 422})
_TOLD: Final = frozenset({EventType.AUTHN_LOGIN_SUCCESS, EventType.AUTHN_LOGIN_FAIL, EventType.AUTHN_LOGIN_LOCK})
_MAX_NAME: Final = 256
_HEURISTIC: Final = {"seclog.detected_by": "heuristic"}


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
    status = scope.status
    if status is None or not _TOLD.isdisjoint(scope.recorded):
        return
    name, password = _typed(scope)
    before, after = session_user(came), session_user(scope.asgi.get("session"))
    if after is not None and (before is None or before[0] != after[0]):
        if status < 400:
            _succeeded(scope, after, name if password else None, "password" if password else "direct")
    elif routes.facts(scope).is_token and status < 300:
        if name and password:
            _succeeded(scope, None, name, "password")
    elif (name is not None or password is not None) and _is_refusal(scope, status, after is not None):
        reason = "invalid_credentials" if name and password else "incomplete_credentials"
        api.login_failed(name or "", reason, known=not name, auth_method="password", **_HEURISTIC)


def _succeeded(scope: RequestScope, user: tuple[str, str | None] | None, name: str | None, method: str) -> None:
    if user is None:
        scope.bind_user(scope.context.user_id or name, scope.context.user_name or name)
    else:
        scope.bind_user(user[0], user[1] or name)
    context = scope.context
    fields: dict[str, object] = {"user.id": context.user_id, "seclog.auth.method": method, **_HEURISTIC}
    if context.user_name is not None:
        fields["user.name"] = context.user_name
    language = scope.sent(b"accept-language")
    if language:
        fields["seclog.device.accept_language"] = language[:128]
    tell(Event(type=EventType.AUTHN_LOGIN_SUCCESS, fields=fields))


def _is_refusal(scope: RequestScope, status: int, is_logged_in: bool) -> bool:
    if status in _REFUSED:
        return True
    if is_logged_in:
        return False  # logged in again as the same user, or a page that says so
    if status == 200:
        return (scope.header(b"content-type") or "").startswith("text/html")
    location = scope.header(b"location")
    return 300 <= status < 400 and location is not None and urlsplit(location).path == scope.path


def _typed(scope: RequestScope) -> tuple[str | None, bool | None]:
    """Return the name that was typed, and whether a password was; None for a field that was not sent."""
    sent = {key.lower().rpartition("-")[2]: value for key, value in typed(scope) if isinstance(key, str)}
    name = next((value for key in _NAMES if isinstance(value := sent.get(key), str)), None)
    passwords = [bool(value) for key, value in sent.items() if "pass" in key or "pwd" in key]
    return None if name is None else name[:_MAX_NAME], any(passwords) if passwords else None
