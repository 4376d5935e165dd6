"""Family 7: requests that went wrong, by the exception if there was one, else by the status.

Traps handled here (research/hooks.md §2): an inner middleware may answer an exception, so it is remembered
where it is raised as well as where Django turns it into a response; the class's attribute is looked up at
call time, a copied name is not. `NotRecordedError` (only with `on_failure="block"`) becomes a 503 here,
before an app's handler makes it a 500.
"""

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.core.handlers import exception as handlers
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters.django import request as scopes
from seclog.adapters.django.downloads import is_static_path
from seclog.adapters.django.parameters import parameters
from seclog.adapters.django.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_LIBRARY = "Django"
ANSWERED: Final = "the exception was answered"
"""The note that somebody turned the exception into a response on purpose: it is no unhandled one."""

PARSED: Final = "parsed body"
"""The note under which a framework on top of Django leaves the body that it parsed."""

# Statuses that have an event type of their own.
_BY_STATUS: Final = {
    405: EventType.HTTP_METHOD_UNEXPECTED,
    501: EventType.HTTP_METHOD_UNEXPECTED,
    429: EventType.EXCESS_RATE_LIMIT_EXCEEDED,
}

# Browsers ask for these by themselves: a 404 says nothing about anybody.
_ASKED_BY_BROWSERS: Final = (
    "/favicon.ico",
    "/apple-touch-icon",
    "/.well-known/appspecific/com.chrome.devtools.json",
)


def connect() -> None:
    """Wrap the two places through which every exception of a request passes."""
    wrap_method(handlers, "response_for_exception", _response_for_exception, library=_LIBRARY)
    wrap_method(BaseHandler, "process_exception_by_middleware", _process_exception, library=_LIBRARY)


def refused() -> HttpResponse:
    """Answer for `on_failure="block"`: what cannot be recorded is not done."""
    return HttpResponse(
        "This action cannot be recorded at the moment and was therefore refused. Please try again later.\n",
        status=503,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": "5"},
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


def _process_exception(
    original: Any, handler: Any, exception: Any, request: Any, *args: Any, **kwargs: Any
) -> Any:
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
    if status in _BY_STATUS:
        return _special(_BY_STATUS[status], request, response)
    fields: dict[str, object] = {"seclog.params_censored": parameters(request, scope.noted(PARSED))}
    if status >= 500:
        # OpenTelemetry: error.type is the status code when there is nothing better
        fields["error.type"] = str(status) if exception is None else class_name(exception)
        return Event(type=EventType.API_SERVER_ERROR, reason=_reason(status), fields=fields)
    if exception is not None:
        fields["error.type"] = class_name(exception)
    if not isinstance(exception, SuspiciousOperation):
        return Event(type=EventType.API_CLIENT_ERROR, reason=_reason(status), fields=fields)
    # A wrong Host header is the noise of scanners that try every address, not input that the app refused.
    is_noise = isinstance(exception, DisallowedHost)
    event_type = EventType.API_CLIENT_ERROR if is_noise else EventType.INPUT_VALIDATION_FAIL
    return Event(type=event_type, reason=_snake(type(exception)), fields=fields)


def unhandled(scope: RequestScope, request: HttpRequest, exception: BaseException) -> Event:
    """Return the event of an exception that nobody handled. Its text stays out: it may hold anything."""
    place = raised_at(exception)
    return Event(
        type=EventType.APP_UNHANDLED_EXCEPTION,
        fields={
            "error.type": class_name(exception),
            "seclog.error.fingerprint": fingerprint(exception),
            "seclog.error.location": place,
            "seclog.params_censored": parameters(request, scope.noted(PARSED)),
        },
    )


def _special(event_type: EventType, request: HttpRequest, response: HttpResponseBase) -> Event:
    fields = {
        "seclog.allowed_methods": response.headers.get("Allow"),
        "seclog.retry_after": response.headers.get("Retry-After"),
    }
    return Event(type=event_type, fields={key: value for key, value in fields.items() if value is not None})


def _is_noise(path: str) -> bool:
    return is_static_path(path) or path.startswith(_ASKED_BY_BROWSERS)


def _reason(status: int) -> str | None:
    try:
        return HTTPStatus(status).name.lower()
    except ValueError:
        return None


def _snake(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


# ── exceptions ──────────────────────────────────────────────────────────────────────────────────────────────

_LIBRARIES: Final = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def class_name(exception: BaseException) -> str:
    """Return an exception's class as OpenTelemetry writes it: with the module, unless it is a built-in."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def fingerprint(exception: BaseException) -> str:
    """Return 16 hex digits that are the same for the same error: its class and place, never its text."""
    place = f"{class_name(exception)}|{raised_at(exception)}"
    return hashlib.sha256(place.encode("utf-8", "replace")).hexdigest()[:16]


def raised_at(exception: BaseException) -> str | None:
    """Return `module:function:line` of the innermost frame of the app itself, else of the innermost one."""
    place = own = None
    for module, name, line, file in _frames(exception.__traceback__):
        place = f"{module}:{name}:{line}"
        if _is_app(module, file):
            own = place
    return own or place


def _is_app(module: str, file: str) -> bool:
    if file.startswith(("<", *_LIBRARIES)) or module.startswith("seclog."):
        return False
    return "site-packages" not in file and "dist-packages" not in file


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, str, int, str]]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = str(traceback.tb_frame.f_globals.get("__name__", "?"))
        yield module, code.co_qualname, traceback.tb_lineno, code.co_filename
        traceback = traceback.tb_next
