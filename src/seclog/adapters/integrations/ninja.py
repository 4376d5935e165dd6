"""django-ninja: refused access, refused input and throttling, by the exceptions behind its answers.

The library turns its exceptions into responses before Django sees them; a 422 would be any client error.

Tested with django-ninja 1.7.1.
"""

from typing import Any, Final

from seclog.adapters._hooks import contained
from seclog.adapters.django import denials
from seclog.adapters.django import request as scopes
from seclog.adapters.django.errors import ANSWERED
from seclog.adapters.integrations._library import Library
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

library = Library("django-ninja")
_MAX_FIELDS: Final = 50
_MAX_NAME: Final = 128
_CHOICES: Final = frozenset({"enum", "literal_error"})  # values that the app's own forms cannot send


def connect() -> None:
    """Wrap the place where the library answers exceptions."""
    library.wrap_when_imported("ninja.main.NinjaAPI.on_exception", _on_exception)


def _on_exception(original: Any, api: Any, request: Any, exc: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(exc, NotRecordedError):
        raise exc  # no handler of the app may turn it into something else
    response = original(api, request, exc, *args, **kwargs)
    with contained("an exception that ninja answered"):
        scope = scopes.of(request)
        if scope is not None:
            scope.exception = exc
            scope.note(ANSWERED, True)
            event = _event(scope, request, exc)
            if event is not None:
                scope.propose(event)
    return response


def _event(scope: Any, request: Any, exc: Any) -> Event | None:
    from ninja.errors import AuthenticationError, HttpError, ValidationError

    match exc:
        case ValidationError():
            return _refused_input(exc)
        case AuthenticationError():
            return denials.unauthenticated(request, "not_authenticated")
        case HttpError(status_code=401):
            return denials.unauthenticated(request, "unauthorized")
        case HttpError(status_code=403):
            return denials.denied(scope, request, "permission_denied")
        case HttpError(status_code=429):
            wait = getattr(exc, "wait", None)
            fields = {} if wait is None else {"seclog.retry_after": wait}
            return Event(type=EventType.EXCESS_RATE_LIMIT_EXCEEDED, fields=fields)
    return None


def _refused_input(exc: Any) -> Event:
    """Name the fields and the kinds of errors; the values stay out."""
    errors = exc.errors[:_MAX_FIELDS]
    names = [".".join(map(str, error.get("loc", ())))[:_MAX_NAME] for error in errors]
    codes = [str(error.get("type", "invalid")) for error in errors]
    fields: dict[str, object] = {"seclog.fields": names, "seclog.codes": codes}
    chosen = next((name for name, code in zip(names, codes, strict=True) if code in _CHOICES), None)
    if chosen is None:
        reason = codes[0] if codes else "invalid"
        return Event(type=EventType.INPUT_VALIDATION_FAIL, reason=reason, fields=fields)
    fields = {"seclog.field": chosen, **fields}
    return Event(type=EventType.INPUT_VALIDATION_DISCRETE_FAIL, reason="invalid_choice", fields=fields)
