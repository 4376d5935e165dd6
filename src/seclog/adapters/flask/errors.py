"""Family 7: requests that went wrong, by the exception if there was one, else by the status.

Traps handled here (research/hooks.md §3): an exception that an error handler answers sends no signal, so it is
remembered where Flask looks for the handler; the handler may turn a 403 into a 200; with TESTING or debug an
unhandled one is raised through the server instead of being answered.
"""

from typing import Any, Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, SecurityError

from seclog.adapters import _failures
from seclog.adapters._failures import answered, special
from seclog.adapters._hooks import contained
from seclog.adapters._status import ASKED_BY_BROWSERS, BY_STATUS, REFUSAL, RETRY_AFTER
from seclog.adapters.flask import request as scopes
from seclog.adapters.flask.parameters import parameters
from seclog.adapters.flask.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event

ANSWERED: Final = "the exception was answered"
"""The note that an error handler turned the exception into a response: it is no unhandled one."""


def user_exception(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Around `handle_user_exception`: remember what was raised, and whether somebody answers it."""
    error = args[-1] if args else kwargs.get("e")
    if isinstance(error, NotRecordedError):
        return Response(REFUSAL, 503, {"Retry-After": RETRY_AFTER}, content_type="text/plain; charset=utf-8")
    _remember(error, False)
    answer = original(*args, **kwargs)  # raises what no handler answers
    _remember(error, True)
    return answer


def unhandled_exception(sender: Flask, exception: BaseException | None = None, **kwargs: Any) -> None:
    """Receive `got_request_exception`: also what `after_request` functions and error handlers raise comes here."""
    _remember(exception, False)


def _remember(error: Any, answered: bool) -> None:
    with contained("remembering an exception"):
        scope = scopes.of()
        # A redirect is an HTTPException too, and so is what `abort(response)` raises: their status says all.
        is_answer = isinstance(error, HTTPException) and (error.code is None or error.code < 400)
        if scope is not None and isinstance(error, BaseException) and not is_answer:
            scope.exception = error
            scope.look_up()  # an exception that leaves through the server takes Flask's context with it
            scope.note(ANSWERED, answered)


def failure(scope: RequestScope, status: int) -> Event | None:
    """Return the event of a request that went wrong, or None if it did not, or if nobody needs to know.

    Args:
        scope: the request's.
        status: the response's status, or that of the exception behind it.
    """
    exception = scope.exception
    if exception is not None and not scope.noted(ANSWERED):
        return unhandled(scope, exception)
    if status < 400 or (status == 404 and is_noise(scope)):
        return None
    if status in BY_STATUS:
        return special(status, scope.header("allow"), scope.header("retry-after"))
    reason = "disallowed_host" if isinstance(exception, SecurityError) and status < 500 else None
    return answered(status, exception, parameters(scope), reason)


def unhandled(scope: RequestScope, exception: BaseException) -> Event:
    """Return the event of an exception that nobody handled."""
    return _failures.unhandled(exception, parameters(scope))


def is_static(scope: RequestScope) -> bool:
    """Tell whether a request asks for one of the app's own scripts and pictures."""
    endpoint = scope.endpoint
    if endpoint is not None:
        return endpoint == "static" or endpoint.endswith(".static")
    prefix = scope.app.static_url_path  # a WSGI middleware may serve them
    return bool(prefix) and ".." not in scope.path and scope.path.startswith(f"{prefix}/")


def is_noise(scope: RequestScope) -> bool:
    """Tell whether a 404 says nothing about anybody."""
    return is_static(scope) or scope.path.startswith(ASKED_BY_BROWSERS)
