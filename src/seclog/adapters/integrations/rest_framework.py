"""Django REST framework: refused access, refused input and throttling, with the view, the permission class
and the codes.

Traps handled here (research/hooks.md §2): an unauthenticated request gets 403 instead of 401 when the first
authenticator has no `WWW-Authenticate`, so the exception decides, not the status; a view that answers
`Response(serializer.errors, status=400)` raises nothing; DRF parses the body in a request of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Empty, Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList
from rest_framework.views import APIView

from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters.django import denials
from seclog.adapters.django import request as scopes
from seclog.adapters.django.errors import ANSWERED, PARSED
from seclog.adapters.django.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_LIBRARY = "Django REST framework"
_THROTTLE: Final = "the throttle that refused"
_MAX_FIELDS: Final = 50
_MAX_NAME: Final = 128
_MAX_DEPTH: Final = 8
_INVALID_CHOICE: Final = "invalid_choice"  # a value that the app's own forms cannot send


def connect() -> None:
    """Wrap the view's exception handling and final response, the CSRF check and the throttles."""
    wrap_method(APIView, "handle_exception", _handle_exception, library=_LIBRARY)
    wrap_method(APIView, "finalize_response", _finalize_response, library=_LIBRARY)
    wrap_method(SessionAuthentication, "enforce_csrf", _enforce_csrf, library=_LIBRARY)
    wrap_method(SimpleRateThrottle, "throttle_failure", _throttle_failure, library=_LIBRARY)


def _handle_exception(original: Any, view: Any, exc: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(exc, NotRecordedError):
        raise exc  # no handler of the app may turn it into something else
    scope = scopes.of(None)
    if scope is not None:
        with contained("remembering a DRF request's body"):
            _remember_body(scope, getattr(view, "request", None))
    response = original(view, exc, *args, **kwargs)
    if scope is not None:
        with contained("a DRF exception"):
            scope.exception = exc
            scope.note(ANSWERED, True)
            event = _event(scope, view, exc)
            if event is not None:
                scope.propose(event)
    return response


def _finalize_response(original: Any, view: Any, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
    final = original(view, request, response, *args, **kwargs)
    if final.status_code >= 400:
        with contained("a DRF response"):
            scope = scopes.of(None)
            if scope is not None:
                _remember_body(scope, request)
                if scope.candidate is None and final.status_code == 400:
                    data = getattr(final, "data", None)
                    event = validation(data, view) if isinstance(data, ReturnDict | ReturnList) else None
                    if event is not None:
                        scope.propose(event)
    return final


def _enforce_csrf(original: Any, authentication: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(authentication, request, *args, **kwargs)
    except exceptions.PermissionDenied as error:
        with contained("a CSRF refusal"):
            scope = scopes.of(None)
            if scope is not None:
                event = denials.csrf_event(str(error.detail).removeprefix("CSRF Failed: "))
                user = scopes.evaluated_user(scope.request)
                if (
                    user is not None and user.is_authenticated
                ):  # DRF makes the user anonymous now, and this is who was to be abused
                    event.fields = {"user.id": str(user.pk), "user.name": user.get_username()}
                scope.propose(event)
        raise


def _throttle_failure(original: Any, throttle: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a throttled request"):
        scope = scopes.of(None)
        if scope is not None:
            scope.note(_THROTTLE, throttle)
    return original(throttle, *args, **kwargs)


def _remember_body(scope: RequestScope, request: Any) -> None:
    """Keep the body if the view parsed it. Asking for `request.data` would parse it now."""
    body = request._full_data if isinstance(request, Request) else Empty
    if body is not Empty and body:
        scope.note(PARSED, body)


# ── what the exception tells ────────────────────────────────────────────────────────────────────────────────


def _event(scope: RequestScope, view: Any, exc: Exception) -> Event | None:
    request = scope.request
    match exc:
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return denials.unauthenticated(request, _code(exc), **_about(view, exc))
        case exceptions.PermissionDenied() | PermissionDenied():
            return denials.denied(scope, request, _code(exc), **_about(view, exc))
        case exceptions.Throttled():
            return _throttled(scope.noted(_THROTTLE), view, exc)
        case exceptions.ValidationError():
            return validation(exc.detail, view)
    return None


def _code(exc: Exception) -> str:
    detail = getattr(exc, "detail", None)
    code = detail.get("code") if isinstance(detail, Mapping) else getattr(detail, "code", None)  # simplejwt: a dict
    return str(code or "permission_denied")


def _about(view: Any, exc: Exception) -> dict[str, object]:
    """Name the view, its action, and the permission class that said no."""
    permission = _refusing_permission(exc)
    fields = {"seclog.view": _view_name(view), "seclog.permission_class": permission and _named(permission)}
    return {key: value for key, value in fields.items() if value}


def _view_name(view: Any) -> str:
    kind = type(view)
    # `@api_view` makes a class of a function, and names only its __name__ after it
    name = kind.__qualname__ if kind.__qualname__.endswith(kind.__name__) else kind.__name__
    action = getattr(view, "action", None)
    return f"{kind.__module__}.{name}.{action}" if action else f"{kind.__module__}.{name}"


def _refusing_permission(exc: Exception) -> Any:
    """Return the permission that refused: DRF keeps it in a local variable of the check that raised."""
    traceback = exc.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name in {"check_permissions", "check_object_permissions"}:
            return traceback.tb_frame.f_locals.get("permission")
        traceback = traceback.tb_next
    return None


def _named(permission: Any, depth: int = 0) -> str:
    """Return a permission's class; for `A & B`, `A | B` and `~A` the parts as well."""
    name = type(permission).__name__
    parts = [getattr(permission, part) for part in ("op1", "op2") if hasattr(permission, part)]
    if not parts or depth >= _MAX_DEPTH:
        return name
    return f"{name}({', '.join(_named(part, depth + 1) for part in parts)})"


def _throttled(throttle: Any, view: Any, exc: Any) -> Event:
    fields: dict[str, object] = {"seclog.view": _view_name(view)}
    if exc.wait is not None:
        fields["seclog.retry_after"] = exc.wait
    if throttle is not None:
        fields |= {
            "seclog.limit": throttle.num_requests,
            "seclog.window": throttle.duration,
            "seclog.throttle": throttle.scope or type(throttle).__name__,
        }
    return Event(type=EventType.EXCESS_RATE_LIMIT_EXCEEDED, fields=fields)


# ── refused input ───────────────────────────────────────────────────────────────────────────────────────────


def validation(detail: Any, view: Any) -> Event | None:
    """Return the event of refused input: names of fields and codes of errors, never values or texts.

    Args:
        detail: what DRF found, nested as the serializer is; anything else gives None.
        view: the view that refused.
    """
    found = [pair for pair, _ in zip(_errors(detail), range(_MAX_FIELDS), strict=False)]
    if not found:
        return None
    fields: dict[str, object] = {
        "seclog.fields": [name for name, _ in found],
        "seclog.codes": [code for _, code in found],
        "seclog.view": _view_name(view),
    }
    chosen = next((name for name, code in found if code == _INVALID_CHOICE), None)
    if chosen is None:
        return Event(type=EventType.INPUT_VALIDATION_FAIL, reason=found[0][1], fields=fields)
    return Event(
        type=EventType.INPUT_VALIDATION_DISCRETE_FAIL,
        reason=_INVALID_CHOICE,
        fields={"seclog.field": chosen, **fields},
    )


def _errors(detail: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Walk what DRF found; `items.0.price` names the price of the first item."""
    if depth > _MAX_DEPTH:
        return
    match detail:
        case exceptions.ErrorDetail():
            yield place or "non_field_errors", str(detail.code)
        case Mapping():
            for key, inner in detail.items():
                yield from _errors(inner, f"{place}.{key}"[:_MAX_NAME].lstrip("."), depth + 1)
        case list() | tuple():
            for index, inner in enumerate(detail):
                is_leaf = isinstance(inner, exceptions.ErrorDetail)
                yield from _errors(inner, place if is_leaf else f"{place}.{index}".lstrip("."), depth + 1)
