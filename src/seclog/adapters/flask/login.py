"""Family 1 for an app that logs in by its own code: a heuristic, since Flask itself knows of no logins.

Looked at are POSTs to an endpoint or a path that is called like a login; what their answers mean is in `_logins`.
`SecLog(app, login_heuristic=False)` turns it off.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from seclog.adapters import _logins
from seclog.adapters._login_names import is_login_name
from seclog.adapters.flask.parameters import form_of, json_of
from seclog.adapters.flask.request import RequestScope
from seclog.adapters.flask.sessions import user_before
from seclog.adapters.flask.users import STATE, session_user


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
    if scope.status is None or _logins.is_told(scope):
        return
    attempt = _logins.Attempt(
        came=user_before(scope),
        now=session_user(scope.app, scope.session),
        sent=_sent(scope),
        status=scope.status,
        content_type=scope.header("content-type") or "",
        location=scope.header("location"),
        path=scope.path,
        language=scope.environ.get("HTTP_ACCEPT_LANGUAGE"),
    )
    _logins.observe(scope, attempt)


def _sent(scope: RequestScope) -> Iterator[tuple[Any, Any]]:
    form = form_of(scope)
    if form:
        yield from form.items()
        return
    body = json_of(scope)
    if isinstance(body, Mapping):
        yield from body.items()
