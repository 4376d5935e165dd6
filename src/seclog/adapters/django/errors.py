"""Family 7: requests that went wrong, by the exception if there was one, else by the status.

Traps handled here (research/hooks.md §2): an inner middleware may answer an exception, so it is remembered
where it is raised as well as where Django turns it into a response; the class's attribute is looked up at
call time, a copied name is not. `NotRecordedError` (only with `on_failure="block"`) becomes a 503 here,
before an app's handler makes it a 500.
"""

import re
from typing import Any, Final

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.core.handlers import exception as handlers
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from seclog.adapters import _failures
from seclog.adapters._failures import answered, special
from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters._status import ASKED_BY_BROWSERS, BY_STATUS, REFUSAL, RETRY_AFTER
from seclog.adapters.django import request as scopes
from seclog.adapters.django.downloads import is_static_path
from seclog.adapters.django.parameters import parameters
from seclog.adapters.django.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_LIBRARY = "Django"
ANSWERED: Final = "the exception was answered"
"""The note that somebody turned the exception into a response on purpose: it is no unhandled one."""

EXPECTED: Final = "the status is no refusal"
"""The note that a library answers with the status of an error on purpose: all went well, and the next step follows."""

PARSED: Final = "parsed body"
"""The note under which a framework on top of Django leaves the body that it parsed."""


def connect() -> None:
    """Wrap the two places through which every exception of a request passes."""
    wrap_method(handlers, "response_for_exception", _response_for_exception, library=_LIBRARY)
    wrap_method(BaseHandler, "process_exception_by_middleware", _process_exception, library=_LIBRARY)


def refused() -> HttpResponse:
    """Answer for `on_failure="block"`: what cannot be recorded is not done."""
    return HttpResponse(
        REFUSAL, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": RETRY_AFTER}
    )


def _response_for_exception(original: Any, request: Any, exc: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(exc, NotRecordedError):
        return refused()
    with contained("remembering an exception"):
        scope = scopes.of(request)
        if scope is not None:
            scope.exception = exc
            scope.note(ANSWERED, False)
    return original(request, exc, *args, **kwargs)


def _process_exception(original: Any, handler: Any, exception: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(exception, NotRecordedError):
        return refused()
    response = original(handler, exception, request, *args, **kwargs)
    if response is not None:
        with contained("remembering an exception"):
            scope = scopes.of(request)
            if scope is not None:
                scope.exception = exception
                scope.note(ANSWERED, True)
    return response


# ── what the response tells ─────────────────────────────────────────────────────────────────────────────────


def failure(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> Event | None:
    """Return the event of a request that went wrong, or None if it did not, or if nobody needs to know."""
    status = response.status_code
    if status < 400 or (status == 404 and _is_noise(request.path)):
        return None
    exception = scope.exception
    if status >= 500 and exception is not None and not scope.noted(ANSWERED):
        return unhandled(scope, request, exception)
    if status in BY_STATUS:
        return special(status, response.headers.get("Allow"), response.headers.get("Retry-After"))
    is_suspicious = status < 500 and isinstance(exception, SuspiciousOperation)
    reason = _snake(type(exception)) if is_suspicious else None
    event = answered(status, exception, parameters(request, scope.noted(PARSED)), reason)
    # A wrong Host header is the noise of scanners that try every address, not input that the app refused.
    if is_suspicious and not isinstance(exception, DisallowedHost):
        return Event(type=EventType.INPUT_VALIDATION_FAIL, reason=reason, fields=event.fields)
    return event


def unhandled(scope: RequestScope, request: HttpRequest, exception: BaseException) -> Event:
    """Return the event of an exception that nobody handled."""
    return _failures.unhandled(exception, parameters(request, scope.noted(PARSED)))


def _is_noise(path: str) -> bool:
    return is_static_path(path) or path.startswith(ASKED_BY_BROWSERS)


def _snake(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
