"""Family 6: access that was refused, from any layer: an exception, a status, a redirect to the login, a CSRF
check.

Traps handled here (research/hooks.md §2): a plain 403 has no exception; an authenticated user without
permission is often sent to the login instead of being refused; a CSRF failure raises nothing and its view can
be replaced; whether a single permission check matters is known only when the whole request is refused, so
checks are remembered, not told.
"""

from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.translation import get_language

from seclog.adapters import _denials
from seclog.adapters._denials import is_refusal, sent_to_login
from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters.django import request as scopes
from seclog.adapters.django.request import RequestScope, evaluated_user
from seclog.events import Event, EventType

_LIBRARY = "Django"
_LED: Final = "redirected to the login"
"""The note under which Django's own way to the login leaves where it leads."""

# How Django's reasons begin (django/middleware/csrf.py) -> what is written as the cause.
CSRF_REASONS: Final = {
    "CSRF cookie": "cookie_missing",
    "CSRF token missing": "token_missing",
    "CSRF token": "token_incorrect",
    "Origin checking failed": "origin_mismatch",
    "Referer checking failed": "referer_mismatch",
}


def connect() -> None:
    """Wrap the CSRF check's refusal, the permission check and Django's own ways to the login."""
    wrap_method(CsrfViewMiddleware, "_reject", _csrf_rejected, library=_LIBRARY)
    if not apps.is_installed("django.contrib.auth"):
        return
    from django.contrib.auth import middleware, mixins, models, views

    wrap_method(models, "_user_has_perm", _permission_checked, library=_LIBRARY)
    wrap_method(models, "_auser_has_perm", _apermission_checked, library=_LIBRARY)
    # Decorators and the admin look this function up at call time; the others import it by name: their methods
    wrap_method(views, "redirect_to_login", led_to_login, library=_LIBRARY)
    wrap_method(mixins.AccessMixin, "handle_no_permission", led_to_login, library=_LIBRARY)
    wrap_method(middleware.LoginRequiredMiddleware, "handle_no_permission", led_to_login, library=_LIBRARY)


# ── what is remembered while the request runs ───────────────────────────────────────────────────────────────


def _permission_checked(original: Any, user: Any, permission: Any, *args: Any, **kwargs: Any) -> Any:
    granted = original(user, permission, *args, **kwargs)
    if not granted:
        _remember(permission)
    return granted


async def _apermission_checked(original: Any, user: Any, permission: Any, *args: Any, **kwargs: Any) -> Any:
    granted = await original(user, permission, *args, **kwargs)
    if not granted:
        _remember(permission)
    return granted


def _remember(permission: Any) -> None:
    with contained("remembering a refused permission"):
        scope = scopes.of(None)
        if scope is not None:
            scope.denied_permission = str(permission)


def led_to_login(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Remember where a wrapped function leads: that is a login."""
    response = original(*args, **kwargs)
    with contained("remembering a redirect to the login"):
        scope = scopes.of(None)
        if scope is not None:
            scope.note(_LED, response.headers.get("Location"))
    return response


def _csrf_rejected(original: Any, middleware: Any, request: Any, reason: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a CSRF refusal"):
        scope = scopes.of(request)
        if scope is not None:
            scope.propose(csrf_event(str(reason)))
    return original(middleware, request, reason, *args, **kwargs)


def csrf_event(reason: str) -> Event:
    """Return the event of a failed CSRF check.

    Args:
        reason: Django's reason, a sentence.
    """
    cause = next((cause for start, cause in CSRF_REASONS.items() if reason.startswith(start)), "rejected")
    return Event(type=EventType.MALICIOUS_CSRF, reason=cause, message=f"CSRF check failed: {reason[:200]}")


# ── what the response tells ─────────────────────────────────────────────────────────────────────────────────


def denial(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> Event | None:
    """Return the event of a refused request, or None if the response refuses nothing."""
    status = response.status_code
    if 300 <= status < 400 and leads_to_login(scope, request, response):
        return sent_to_login(_is_authenticated(request), view_name(request), scope.denied_permission)
    if isinstance(scope.exception, PermissionDenied):
        return denied(scope, request, "permission_denied")
    if status == 401 and not _is_authenticated(request):
        return unauthenticated(request, "unauthorized")
    if status in {401, 403}:
        return denied(scope, request, "unauthorized" if status == 401 else "forbidden")
    return None


def denied(scope: RequestScope, request: HttpRequest, reason: str, **more: object) -> Event:
    """Return the event for somebody who may not do this; the missing permission is named if known."""
    return _denials.denied(reason, view_name(request), scope.denied_permission, **more)


def unauthenticated(request: HttpRequest, reason: str, **more: object) -> Event:
    """Return the event for somebody who would have to say who they are first."""
    return _denials.unauthenticated(reason, view_name(request), **more)


def view_name(request: HttpRequest) -> str | None:
    """Return the dotted name of the view function or class, if a view was found."""
    return getattr(getattr(request, "resolver_match", None), "_func_path", None)


def _is_authenticated(request: HttpRequest) -> bool:
    user = evaluated_user(request)
    return user is not None and bool(user.is_authenticated)


# ── the way to the login ────────────────────────────────────────────────────────────────────────────────────


def leads_to_login(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether a redirect sends the client to the login instead of what it asked for."""
    location = response.headers.get("Location")
    if not location:
        return False
    if scope.noted(_LED) == location:
        return True
    target = urlsplit(location)
    if target.path not in _login_paths(
        str(django_settings.LOGIN_URL), get_urlconf(), get_language(), get_script_prefix()
    ):
        return False
    return is_refusal(scope, request.method, request.path, target)


@lru_cache(maxsize=64)
def _login_paths(login_url: str, *_: object) -> frozenset[str]:
    """Return where the logins are. They depend on URL configuration, language and script prefix as well."""
    paths = set()
    for find, name in ((resolve_url, login_url), (reverse, "admin:login")):
        try:
            paths.add(urlsplit(find(name)).path)
        except NoReverseMatch:
            continue
    return frozenset(paths)
