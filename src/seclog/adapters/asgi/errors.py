"""Family 7: requests that went wrong, by the exception if there was one, else by the status.

Which exception became a response is known without a hook: frameworks send the response from within the `except` that
caught it, so it is the one that Python is handling. Only where a `BaseHTTPMiddleware` stands between, which runs the
app in another task, is it not: there the app's exception handlers leave it for us (see `watch_handlers`).
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from seclog.adapters import _failures
from seclog.adapters._failures import answered, special
from seclog.adapters._hooks import contained
from seclog.adapters._status import ASKED_BY_BROWSERS, BY_STATUS
from seclog.adapters.asgi import request as scopes
from seclog.adapters.asgi.parameters import parameters
from seclog.adapters.asgi.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

ANSWERED: Final = "the exception was answered"
"""The note that an exception handler turned the exception into a response: it is no unhandled one."""

_WATCHED: Final = "_seclog_watched"
_MAX_STACK: Final = 100
_MAX_ERRORS: Final = 50
_MAX_NAME: Final = 128
_CHOICES: Final = frozenset({"enum", "literal_error"})
"""Kinds of error that the app's own forms cannot cause."""
_EXTRANEOUS: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_REFUSED_LOGIN: Final = frozenset({400, 422})
"""How token endpoints answer a wrong password (RFC 6749 §5.2), besides 401 and 403, which `denials` tells."""
_VALIDATION: Final = frozenset({"RequestValidationError", "WebSocketRequestValidationError"})


# ── which exception it was ──────────────────────────────────────────────────────────────────────────────────


def remember(scope: RequestScope) -> None:
    """Find the exception that is being answered. Call it from within `send`."""
    error = sys.exception()
    if isinstance(error, Exception) and not isinstance(error, NotRecordedError) and scope.exception is None:
        scope.exception = error
        scope.note(ANSWERED, _has_handler(scope, error))


def _has_handler(scope: RequestScope, error: BaseException) -> bool:
    """Tell whether the framework has a handler for an exception (Starlette keeps them in the scope)."""
    if is_a(error, "HTTPException") or is_a(error, "AuthenticationError", "starlette.authentication"):
        return True
    found = scope.asgi.get("starlette.exception_handlers")
    by_class = found[0] if isinstance(found, tuple) and found else {}
    return any(kind in by_class for kind in type(error).__mro__)


def is_a(error: object, name: str, module: str | None = None) -> bool:
    """Tell whether an object's class is this one or derived from it, without importing it."""
    return error is not None and any(
        kind.__name__ == name and (module is None or kind.__module__ == module) for kind in type(error).__mro__
    )


def watch_handlers(stack: Any) -> None:
    """Make the exception handlers of a Starlette middleware stack leave the exception for us."""
    for layer in layers(stack):
        for name in ("_exception_handlers", "_status_handlers"):
            handlers = getattr(layer, name, None)
            if isinstance(handlers, dict):
                for key, handler in list(handlers.items()):
                    if callable(handler) and not hasattr(handler, _WATCHED):
                        handlers[key] = _watched(handler)


def layers(stack: Any) -> Iterator[Any]:
    """Return the middlewares of a stack, from the outermost inwards."""
    for _ in range(_MAX_STACK):
        if stack is None:
            return
        yield stack
        stack = getattr(stack, "app", None)


def _watched(handler: Callable[..., Any]) -> Any:
    wrapper: Any
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004

        @functools.wraps(handler)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            _leave(args)
            return await handler(*args, **kwargs)

    else:

        @functools.wraps(handler)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            _leave(args)
            return handler(*args, **kwargs)

    setattr(wrapper, _WATCHED, True)
    return wrapper


def _leave(args: tuple[Any, ...]) -> None:
    with contained("remembering an exception"):
        error = args[1] if len(args) > 1 else None
        if isinstance(error, NotRecordedError):
            raise error  # no handler of the app may turn it into something else
        scope = scopes.of()
        if scope is not None and isinstance(error, Exception):
            scope.exception = error
            scope.note(ANSWERED, True)


# ── what it means ───────────────────────────────────────────────────────────────────────────────────────────


def failure(scope: RequestScope, status: int) -> Event | None:
    """Return the event of a request that went wrong, or None if it did not, or if nobody needs to know.

    Args:
        scope: the request's.
        status: the response's status.
    """
    exception = scope.exception
    if exception is not None and status >= 500 and not scope.noted(ANSWERED):
        return unhandled(scope, exception)
    if exception is not None and status >= 400 and type(exception).__name__ in _VALIDATION:
        return refused_input(scope, exception)
    if status < 400 or (status == 404 and is_noise(scope)):
        return None
    if status in _REFUSED_LOGIN and EventType.AUTHN_LOGIN_FAIL in scope.recorded:
        return None  # the answer to a failed login, which is told: nothing is wrong with the request
    if status in BY_STATUS:
        return special(status, scope.header(b"allow"), scope.header(b"retry-after"))
    return answered(status, exception, parameters(scope))


def unhandled(scope: RequestScope, exception: BaseException) -> Event:
    """Return the event of an exception that nobody handled."""
    return _failures.unhandled(exception, parameters(scope))


def refused_input(scope: RequestScope, exception: Any) -> Event:
    """Return the event of refused input: names of fields and kinds of errors, never values or texts.

    Args:
        scope: the request's.
        exception: FastAPI's; of its errors only `loc` and `type` are read.
    """
    found = [(tuple(map(str, error.get("loc", ()))), str(error.get("type", "invalid"))) for error in
             list(exception.errors())[:_MAX_ERRORS] if isinstance(error, dict)]  # fmt: skip
    names = [(".".join(loc[1:]) or (loc[0] if loc else ""))[:_MAX_NAME] for loc, _ in found]
    codes = [code for _, code in found]
    fields: dict[str, object] = {
        "seclog.fields": names,
        "seclog.codes": codes,
        "seclog.places": sorted({loc[0] for loc, _ in found if loc}),
        "seclog.view": scope.view,
    }
    for kinds, event_type, reason in (
        (_EXTRANEOUS, EventType.MALICIOUS_EXTRANEOUS, "extra_field"),
        (_CHOICES, EventType.INPUT_VALIDATION_DISCRETE_FAIL, "invalid_choice"),
    ):
        name = next((name for name, code in zip(names, codes, strict=True) if code in kinds), None)
        if name is not None:
            return Event(type=event_type, reason=reason, fields={"seclog.field": name, **fields})
    return Event(type=EventType.INPUT_VALIDATION_FAIL, reason=codes[0] if codes else "invalid", fields=fields)


def is_static(scope: RequestScope) -> bool:
    """Tell whether a request asks for one of the app's own scripts and pictures."""
    return is_a(scope.asgi.get("endpoint"), "StaticFiles")


def is_noise(scope: RequestScope) -> bool:
    """Tell whether a 404 says nothing about anybody."""
    return is_static(scope) or scope.path.startswith(ASKED_BY_BROWSERS)
