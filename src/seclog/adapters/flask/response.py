"""What a leaving response tells: the observers, in their order. Most responses tell nothing and pass in a
microsecond.
"""

from collections.abc import Callable
from typing import Final

from werkzeug.exceptions import HTTPException

from seclog import api
from seclog.adapters._attack_tools import known_tool, tool_of
from seclog.adapters._hooks import complain
from seclog.adapters.flask import denials, downloads, errors, login, sessions
from seclog.adapters.flask.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_TELLING: Final = downloads.TELLING | {"set-cookie"}
_USUAL: Final = frozenset({"Content-Type", "Content-Length", "Vary"})
"""What almost every response has, as werkzeug writes it: not worth a call each."""
_HIDDEN: Final = frozenset({405, 429, 501})
"""Statuses that count even where an error handler answers something better instead."""


def is_quiet(scope: RequestScope, status: int, headers: list[tuple[str, str]]) -> bool:
    """Tell in as few steps as can be that a response tells nothing: this stands in the way of every request.

    False means: look closely.
    """
    if status >= 300 or scope.candidate is not None or scope.exception is not None:
        return False
    for name, _ in headers:
        if name not in _USUAL and name.lower() in _TELLING:
            return False
    environ = scope.environ
    installation = api._installed  # asking `installed()` is a call in every request
    return (
        known_tool(environ.get("HTTP_USER_AGENT", "")) == ""
        and not ("HTTP_COOKIE" in environ and sessions.is_lost(scope))
        and installation is not None
        and not (installation.settings.sensitive_paths and downloads.is_sensitive(scope))
        and not (environ.get("REQUEST_METHOD") == "POST" and login.is_attempt(scope))
    )


def observe(scope: RequestScope) -> None:
    """Record what a response tells: about a login, about the session, about the request, and about what leaves."""
    if login.is_attempt(scope):
        _safely(login.observe, scope)
    _safely(sessions.observe, scope)
    _decide(scope)
    downloads.observe(scope)


def _safely(observer: Callable[[RequestScope], None], scope: RequestScope) -> None:
    """Let an observer fail alone: what follows is told all the same."""
    try:
        observer(scope)
    except NotRecordedError:
        raise
    except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
        complain("looking at a response", error)


def failed(scope: RequestScope, error: BaseException) -> None:
    """Record a request that ended with an exception instead of a response."""
    if isinstance(error, Exception):
        scope.status = 500
        if scope.candidate is None:
            scope.propose(errors.unhandled(scope, error))
    _record(scope)  # else the worker is being stopped: what is known so far


def _decide(scope: RequestScope) -> None:
    status = _status(scope)
    if scope.candidate is None:  # else a hook knew better than exception and status do
        event = denials.denial(scope, status) or errors.failure(scope, status)
        if event is not None:
            scope.propose(event)
    tool = tool_of(scope.environ.get("HTTP_USER_AGENT"))
    if tool is not None:
        lesser = scope.candidate[1] if scope.candidate is not None else Event(type="")
        fields = {**lesser.fields, "seclog.tool": tool}
        scope.propose(Event(type=EventType.MALICIOUS_ATTACK_TOOL, reason=lesser.reason, fields=fields))
    _record(scope)


def _status(scope: RequestScope) -> int:
    """Return the response's status; or that of the exception, where an error handler hides what matters."""
    status = scope.status or 0
    error = scope.exception
    code = error.code if isinstance(error, HTTPException) else None
    if code is not None and status < 400 and (code in _HIDDEN or code >= 500):
        return code
    return status


def _record(scope: RequestScope) -> None:
    installation = api.installed()
    if scope.candidate is None or installation is None:
        return
    if scope.path.startswith(installation.settings.ignore_paths):
        return
    installation.recorder.record(scope.candidate[1], scope)
