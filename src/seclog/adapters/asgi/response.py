"""What a leaving response tells: the observers, in their order. Most responses tell nothing and pass in a
microsecond.
"""

from collections.abc import Callable
from typing import Any, Final

from seclog import api
from seclog.adapters._attack_tools import known_tool, tool_of
from seclog.adapters._hooks import complain
from seclog.adapters.asgi import credentials, denials, downloads, errors, login, sessions
from seclog.adapters.asgi.downloads import Download
from seclog.adapters.asgi.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_TELLING: Final = downloads.TELLING | {b"set-cookie"}
_USUAL: Final = frozenset({b"content-type", b"content-length", b"vary", b"cache-control", b"etag", b"date", b"server"})
_TOO_LARGE: Final = "starlette.middleware.body_limit"
"""Its exceptions pass a middleware inside it after, or instead of, the response: they mean 413, not 500."""


def is_quiet(scope: RequestScope, status: int, session_middleware: Any) -> bool:
    """Tell in as few steps as can be that a response tells nothing: this stands in the way of every request.

    False means: look closely.
    """
    if status >= 300 or scope.candidate is not None or scope.exception is not None or scope.told is not None:
        return False
    installation = api._installed  # asking `installed()` is a call in every request
    if installation is None or (installation.settings.sensitive_paths and downloads.is_sensitive(scope)):
        return False
    for name, _ in scope.headers:
        if name not in _USUAL and name.lower() in _TELLING:
            return False
    asgi = scope.asgi
    for name, value in asgi["headers"]:
        if name == b"user-agent":
            if known_tool(value.decode("latin-1")) != "":
                return False
            break
    if session_middleware is not None and sessions.is_lost(scope, session_middleware):
        return False
    return asgi.get("method") != "POST" or not login.is_attempt(scope)


def observe(scope: RequestScope, session_middleware: Any, login_heuristic: bool) -> Download | None:
    """Record what a response tells: about a login, about the session, about the request, and about what leaves.

    Returns:
        The download that begins with this response, if one does.
    """
    status = scope.status or 0
    if login_heuristic and login.is_attempt(scope):
        _safely(login.observe, scope, sessions.before(scope, session_middleware))
    if status >= 400:
        _safely(credentials.observe, scope, status)
    _safely(sessions.observe, scope, session_middleware)
    decide(scope, denials.denial(scope, status) or errors.failure(scope, status))
    return downloads.begin(scope)


def _safely(observer: Callable[..., None], *args: Any) -> None:
    """Let an observer fail alone: what follows is told all the same."""
    try:
        observer(*args)
    except NotRecordedError:
        raise
    except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
        complain("looking at a response", error)


def failed(scope: RequestScope, error: BaseException) -> None:
    """Record a request that ended with an exception instead of a response, or after it."""
    if isinstance(error, Exception):
        if type(error).__module__ == _TOO_LARGE:
            scope.status = 413
            scope.propose(Event(type=EventType.API_CLIENT_ERROR, reason="request_entity_too_large"))
        else:
            scope.status = scope.status or 500
            if scope.candidate is None:
                scope.propose(errors.unhandled(scope, error))
    record(scope)  # else the worker is being stopped: what is known so far


def decide(scope: RequestScope, event: Event | None) -> None:
    """Record the one request-level event, which may be a hook's, or that an attack tool was at work."""
    if event is not None and scope.candidate is None:  # else a hook knew better than exception and status do
        scope.propose(event)
    tool = tool_of(scope.sent(b"user-agent"))
    if tool is not None:
        lesser = scope.candidate[1] if scope.candidate is not None else Event(type="")
        fields = {**lesser.fields, "seclog.tool": tool}
        scope.propose(Event(type=EventType.MALICIOUS_ATTACK_TOOL, reason=lesser.reason, fields=fields))
    record(scope)


def record(scope: RequestScope) -> None:
    """Record the event that was proposed, unless the settings ignore the path."""
    installation = api.installed()
    if scope.candidate is None or installation is None:
        return
    event, scope.candidate = scope.candidate[1], None
    if not scope.path.startswith(installation.settings.ignore_paths):
        installation.recorder.record(event, scope)
