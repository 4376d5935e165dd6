"""Family 1 by heuristic, for frameworks that know of no logins: how a POST to what is called a login ended.

    what came of it                                             told as
    the session names a user whom it did not name before        login
    a token endpoint answers 2xx                                login, with the name that was typed
    400, 401, 403, 422; a page again (200, HTML); or a redirect
    back to itself, after a name or a password was sent         failed login

All else (a JSON answer with status 200, a redirect to a second factor) tells nothing that could be relied on. Whatever
the app (`seclog.login_succeeded`, `seclog.login_failed`) or a library's integration has told of a login is not told
again. Entries made here carry `seclog.detected_by: heuristic`. Nobody asks here whether a user of that name exists, so
a failed login's name is written as a keyed pseudonym.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from seclog import api
from seclog.adapters._hooks import tell
from seclog.adapters._scope import WebScope
from seclog.adapters._users import Who
from seclog.events import Event, EventType

HEURISTIC: Final = {"seclog.detected_by": "heuristic"}
"""What an entry says that nobody told of, but that was guessed from the answer."""

_NAMES: Final = ("username", "email", "login", "user", "user_name", "userid", "user_id", "name", "identifier",
                 "account", "nick", "nickname", "mail")  # fmt: skip
_REFUSED: Final = frozenset({400, 401, 403, 422})
_TOLD: Final = frozenset({EventType.AUTHN_LOGIN_SUCCESS, EventType.AUTHN_LOGIN_FAIL, EventType.AUTHN_LOGIN_LOCK})
_MAX_NAME: Final = 256
_MAX_LANGUAGE: Final = 128


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that was tried, and its answer.

    Attributes:
        came: whom the session named when the request came.
        now: whom it names when the answer leaves.
        sent: names and values that the app has read, of a form or a JSON object.
        status: the answer's status.
        content_type: the answer's, "" if it has none.
        location: where the answer leads, None if nowhere.
        path: the request's path.
        language: the client's languages, as sent.
        is_token: whether the endpoint gives out tokens for a name and a password.
    """

    came: Who | None
    now: Who | None
    sent: Iterable[tuple[Any, Any]]
    status: int
    content_type: str
    location: str | None
    path: str
    language: str | None
    is_token: bool = False


def is_told(scope: WebScope) -> bool:
    """Tell whether the app or a library has told how the login ended."""
    return not _TOLD.isdisjoint(scope.recorded)


def observe(scope: WebScope, attempt: Attempt) -> None:
    """Record how a login ended, if that can be told."""
    name, password = _typed(attempt.sent)
    status, now = attempt.status, attempt.now
    if now is not None and (attempt.came is None or attempt.came[0] != now[0]):
        if status < 400:
            method = "password" if password else "direct"
            _succeeded(scope, now[0], now[1] or (name if password else None), method, attempt.language)
    elif attempt.is_token and status < 300:
        if name and password:
            user_id, user_name = scope.context.user_id or name, scope.context.user_name or name
            _succeeded(scope, user_id, user_name, "password", attempt.language)
    elif (name is not None or password is not None) and _is_refusal(scope, attempt):
        reason = "invalid_credentials" if name and password else "incomplete_credentials"
        api.login_failed(name or "", reason, known=not name, auth_method="password", **HEURISTIC)


def _succeeded(scope: WebScope, user_id: str, name: str | None, method: str, language: str | None) -> None:
    scope.bind_user(user_id, name)
    fields: dict[str, object] = {"user.id": user_id, "seclog.auth.method": method, **HEURISTIC}
    if name is not None:
        fields["user.name"] = name
    if language:
        fields["seclog.device.accept_language"] = language[:_MAX_LANGUAGE]
    tell(Event(type=EventType.AUTHN_LOGIN_SUCCESS, fields=fields))


def _is_refusal(scope: WebScope, attempt: Attempt) -> bool:
    if type(scope.exception).__name__ == "CSRFError":
        return False  # the form was refused, nobody looked at the password
    if attempt.status in _REFUSED:
        return True
    if attempt.now is not None:
        return False  # logged in again as the same user, or a page that says so
    if attempt.status == 200:
        return attempt.content_type.startswith("text/html")
    location = attempt.location
    return 300 <= attempt.status < 400 and location is not None and urlsplit(location).path == attempt.path


def _typed(sent: Iterable[tuple[Any, Any]]) -> tuple[str | None, bool | None]:
    """Return the name that was typed, and whether a password was; None for a field that was not sent."""
    fields = {key.lower().rpartition("-")[2]: value for key, value in sent if isinstance(key, str)}  # "login-username"
    name = next((value for key in _NAMES if isinstance(value := fields.get(key), str)), None)
    passwords = [bool(value) for key, value in fields.items() if "pass" in key or "pwd" in key]
    return None if name is None else name[:_MAX_NAME], any(passwords) if passwords else None
