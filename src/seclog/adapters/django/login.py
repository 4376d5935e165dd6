"""Family 1: login success, failure and logout, from Django's signals and the authentication form.

Traps handled here (research/hooks.md §2): the request may be None; the credentials' key may be an enum; a non-staff
user at the admin's login sends no signal at all; an empty password never reaches `authenticate`; an exception in a
receiver would break the login.
"""

from contextvars import ContextVar
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.django import request as scopes
from seclog.events import Event, EventType

_LIBRARY = "Django"
_lookup: ContextVar[tuple[str, Any] | None] = ContextVar("seclog_user_lookup", default=None)
"""What the last look-up of a user by name found: (name, user or None). It tells known from unknown without a query."""


def connect() -> None:
    """Listen to the signals and wrap the form and the look-up."""
    user_logged_in.connect(_logged_in, dispatch_uid="seclog.user_logged_in")
    user_login_failed.connect(_login_failed, dispatch_uid="seclog.user_login_failed")
    user_logged_out.connect(_logged_out, dispatch_uid="seclog.user_logged_out")
    wrap_method(BaseUserManager, "get_by_natural_key", _natural_key, library=_LIBRARY)
    if hasattr(BaseUserManager, "aget_by_natural_key"):
        wrap_method(BaseUserManager, "aget_by_natural_key", _anatural_key, library=_LIBRARY)
    wrap_method(AuthenticationForm, "clean", _clean, library=_LIBRARY)


# ── success and logout ───────────────────────────────────────────────────────────────────────────────────────────


@safely
def _logged_in(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    _lookup.set(None)
    if user is None:
        return
    tell(
        Event(
            type=EventType.AUTHN_LOGIN_SUCCESS,
            fields={
                "user.id": str(user.pk),
                "user.name": user.get_username(),
                "seclog.auth.method": "password",
                "seclog.auth.backend": getattr(user, "backend", None),
                **_device(request),
            },
        )
    )


@safely
def _logged_out(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    if user is None or not user.is_authenticated:
        return  # somebody who was not logged in logged out
    key = scopes.loaded_session_key(request) if request is not None else None
    fields = {"user.id": str(user.pk), "user.name": user.get_username()}
    hashed = scopes.session_hash(key)
    if hashed is not None:
        fields["seclog.session.id_hash"] = hashed
    tell(Event(type=EventType.SESSION_LOGOUT, fields=fields))


def _device(request: Any) -> dict[str, object]:
    """Return what the watch needs beyond user agent and address to recognise a device later."""
    if request is None:
        return {}
    language = request.META.get("HTTP_ACCEPT_LANGUAGE")
    return {"seclog.device.accept_language": language[:128]} if language else {}


# ── failure ──────────────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _login_failed(sender: Any, credentials: Any = None, request: Any = None, **kwargs: Any) -> None:
    typed = _typed_name(credentials or {})
    lookup = _lookup.get()
    user = None
    reason = "invalid_credentials"
    if lookup is not None and lookup[0] == typed:
        user = lookup[1]
        if user is None:
            reason = "unknown_user"
        elif not getattr(user, "is_active", True):
            reason = "inactive"
    _lookup.set(None)
    _fail(typed, reason, user)


def _typed_name(credentials: Any) -> str:
    """Return the name that was typed. allauth's keys are enum members, so keys are compared as text."""
    texts = {str(getattr(key, "value", key)).lower(): value for key, value in dict(credentials).items()}
    wanted = get_user_model().USERNAME_FIELD.lower()
    for key in (wanted, "username", "email", "login"):
        if key in texts:
            return str(texts[key])
    return ""


def _fail(typed: str, reason: str, user: Any = None) -> None:
    name = user.get_username() if user is not None else typed
    api.login_failed(name, reason, user_id=getattr(user, "pk", None), known=user is not None, auth_method="password")


def _natural_key(original: Any, manager: Any, username: Any, *args: Any, **kwargs: Any) -> Any:
    _lookup.set((str(username), None))
    user = original(manager, username, *args, **kwargs)
    with contained("the user look-up"):
        _lookup.set((str(username), user))
    return user


async def _anatural_key(original: Any, manager: Any, username: Any, *args: Any, **kwargs: Any) -> Any:
    _lookup.set((str(username), None))
    user = await original(manager, username, *args, **kwargs)
    with contained("the user look-up"):
        _lookup.set((str(username), user))
    return user


def _clean(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    """The form refuses where no signal tells: right password but not allowed here, or a field left empty."""
    try:
        cleaned = original(form, *args, **kwargs)
    except Exception as error:
        with contained("the login form"):
            user = getattr(form, "user_cache", None)
            if user is not None:
                _fail(user.get_username(), _refusal(form, error, user), user)
        raise
    with contained("the login form"):
        data = form.cleaned_data
        if getattr(form, "user_cache", None) is None and not (data.get("username") and data.get("password")):
            _fail(str(form.data.get(form.add_prefix("username"), "")), "incomplete_credentials")
    return cleaned


def _refusal(form: Any, error: Exception, user: Any) -> str:
    if not user.is_active:
        return "inactive"
    if not user.is_staff and "admin" in type(form).__name__.lower():
        return "not_staff"
    return str(getattr(error, "code", None) or "refused")
