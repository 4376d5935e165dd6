"""Family 1 for an app that logs in by its own code: a heuristic, since Flask itself knows of no logins.

Looked at are POSTs to an endpoint or a path that is called like a login. If the session names a user afterwards
whom it did not name before, that was a login. If the app read a form or JSON with a name and a password and refuses
it (400, 401, 403, 422), shows a page again (200, HTML) or leads back to itself, it was a failed one. All else (a JSON
answer with status 200, a redirect to a second factor) tells nothing that could be relied on: nothing is recorded,
and the app may call `seclog.login_succeeded` and `seclog.login_failed`. Whatever was told of a login by such a
call, or by a library's integration, is not told again. `SecLog(app, login_heuristic=False)` turns it off.

Nobody asks here whether a user of that name exists, so a failed login's name is written as a keyed pseudonym.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from seclog import api
from seclog.adapters._hooks import tell
from seclog.adapters._login_names import is_login_name
from seclog.adapters.flask.parameters import form_of, json_of
from seclog.adapters.flask.request import RequestScope
from seclog.adapters.flask.sessions import user_before
from seclog.adapters.flask.users import STATE, session_user
from seclog.events import Event, EventType

_NAMES: Final = ("username", "email", "login", "user", "user_name", "userid", "user_id", "name", "identifier",
                 "account", "nick", "nickname", "mail")  # fmt: skip
_REFUSED: Final = frozenset({400, 401, 403, 422})
_TOLD: Final = frozenset({EventType.AUTHN_LOGIN_SUCCESS, EventType.AUTHN_LOGIN_FAIL, EventType.AUTHN_LOGIN_LOCK})
_MAX_NAME: Final = 256


def is_attempt(scope: RequestScope) -> bool:
    """Tell whether a request is to be looked at."""
    if scope.environ.get("REQUEST_METHOD") != "POST":
        return False
    if not getattr(scope.app.extensions.get(STATE), "login_heuristic", False):
        return False
    request = scope.request
    if request is None or request.url_rule is None or not request.endpoint:
        return False
    fixed = [part for part in request.url_rule.rule.split("/") if part and "<" not in part]
    return is_login_name(request.endpoint.rpartition(".")[2]) or bool(fixed and is_login_name(fixed[-1]))


def observe(scope: RequestScope) -> None:
    """Record how a login ended, if that can be told."""
    status = scope.status
    if status is None or not _TOLD.isdisjoint(scope.recorded):
        return
    before, after = user_before(scope), session_user(scope.app, scope.session)
    name, password = _typed(scope)
    if after is not None and (before is None or before[0] != after[0]):
        if status < 400:
            _succeeded(scope, after, name if password else None, "password" if password else "direct")
    elif (name is not None or password is not None) and _is_refusal(scope, status, after is not None):
        reason = "invalid_credentials" if name and password else "incomplete_credentials"
        api.login_failed(name or "", reason, known=not name, auth_method="password")


def _succeeded(scope: RequestScope, user: tuple[str, str | None], typed: str | None, method: str) -> None:
    user_id, user_name = user[0], user[1] or typed
    scope.bind_user(user_id, user_name)
    fields: dict[str, object] = {"user.id": user_id, "seclog.auth.method": method}
    if user_name is not None:
        fields["user.name"] = user_name
    language = scope.environ.get("HTTP_ACCEPT_LANGUAGE")
    if language:
        fields["seclog.device.accept_language"] = language[:128]
    tell(Event(type=EventType.AUTHN_LOGIN_SUCCESS, fields=fields))


def _is_refusal(scope: RequestScope, status: int, is_logged_in: bool) -> bool:
    if type(scope.exception).__name__ == "CSRFError":
        return False  # the form was refused, nobody looked at the password
    if status in _REFUSED:
        return True
    if is_logged_in:
        return False  # logged in again as the same user, or a page that says so
    if status == 200:
        return (scope.header("content-type") or "").startswith("text/html")
    location = scope.header("location")
    return 300 <= status < 400 and location is not None and urlsplit(location).path == scope.path


def _typed(scope: RequestScope) -> tuple[str | None, bool | None]:
    """Return the name that was typed, and whether a password was; None for a field that was not sent."""
    sent = {key.lower().rpartition("-")[2]: value for key, value in _sent(scope)}  # WTForms: "login-username"
    name = next((value for key in _NAMES if isinstance(value := sent.get(key), str)), None)
    passwords = [bool(value) for key, value in sent.items() if "pass" in key or "pwd" in key]
    return None if name is None else name[:_MAX_NAME], any(passwords) if passwords else None


def _sent(scope: RequestScope) -> Iterator[tuple[str, Any]]:
    form = form_of(scope)
    if form:
        yield from form.items()
        return
    body = json_of(scope)
    if isinstance(body, Mapping):
        yield from ((key, value) for key, value in body.items() if isinstance(key, str))
