"""Family 1: login success, failure and logout, from Django's signals and the authentication form.

Traps handled here (research/hooks.md §2): the request may be None; the credentials' key may be an enum; a
non-staff user at the admin's login sends no signal at all; an empty password never reaches `authenticate`; an
exception in a receiver would break the login.
"""

from contextvars import ContextVar
from typing import Any, Final

import django
from django.contrib import auth
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters._scope import session_hash
from seclog.adapters.django import request as scopes
from seclog.context import attempt
from seclog.events import Event, EventType

_LIBRARY: Final = f"Django {django.get_version()}"
_NOTE: Final = "login.lookup"
HOW: Final = "login.how"
"""The note under which a library leaves fields of the login that is about to come, such as its method."""
REFUSED: Final = "login.refused"
"""The note under which a library leaves why it refuses the login that is about to fail."""
NOT_A_LOGIN: Final = "login.none"
"""The note that the session changes hands without anybody logging in: an impersonation."""
_NAME_KEYS: Final = ("username", "email", "login", "remote_user")


def connect() -> None:
    """Listen to the signals and wrap the form and the look-up."""
    user_logged_in.connect(_logged_in, dispatch_uid="seclog.user_logged_in")
    user_login_failed.connect(_login_failed, dispatch_uid="seclog.user_login_failed")
    user_logged_out.connect(_logged_out, dispatch_uid="seclog.user_logged_out")
    wrap_method(AuthenticationForm, "clean", _clean, library=_LIBRARY)
    wrap_method(auth, "_get_compatible_backends", _attempt_begins, library=_LIBRARY)
    # A project's own manager may override the look-up without calling ours.
    for manager in (BaseUserManager, type(get_user_model()._default_manager)):
        for name, around in (("get_by_natural_key", _natural_key), ("aget_by_natural_key", _anatural_key)):
            if hasattr(manager, name):
                wrap_method(manager, name, around, library=_LIBRARY)


# ── success and logout ────────────────────────────────────────────────────────────────────────────────────


@safely
def _logged_in(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    _remember(None)
    if user is None:
        return
    scope = scopes.of()
    if scope is not None and scope.noted(NOT_A_LOGIN):
        return
    if scope is not None:
        # The session has a new key by now, and an app without AuthenticationMiddleware has no request.user.
        scope.context.session = session_hash(scopes.loaded_session_key(scope.request))
    api.bind_user(user.pk, user.get_username())
    tell(succeeded(user, request))


def succeeded(user: Any, request: Any = None, **fields: object) -> Event:
    """Return the event of a login, with what the watch needs to recognise the device later.

    Args:
        user: who logged in.
        request: the request, Django's or a library's wrapper of it; None outside of one.
        **fields: more fields by their names in an entry.
    """
    used = getattr(user, "backend", None)
    scope = scopes.of()
    known: dict[str, object] = {
        "user.id": str(user.pk),
        "user.name": user.get_username(),
        "seclog.auth.method": _method(used),
        **((scope.noted(HOW) or {}) if scope is not None else {}),
        **fields,
    }
    backend = used or _session_value(request, BACKEND_SESSION_KEY)
    if backend:
        known["seclog.auth.backend"] = backend
    language = getattr(request, "META", {}).get("HTTP_ACCEPT_LANGUAGE")
    if language:
        known["seclog.device.accept_language"] = language[:128]
    return Event(type=EventType.AUTHN_LOGIN_SUCCESS, fields=known)


def _method(backend: str | None) -> str:
    """Tell how the user proved who they are.

    `authenticate` leaves the backend on the user; without it the app itself decided (after a registration, by
    a link in an e-mail, by single sign-on).
    """
    if backend is None:
        return "direct"
    return "remote_user" if "RemoteUser" in backend else "password"


def _session_value(request: Any, key: str) -> Any:
    """Read from a session that is loaded; a session that is not stays so."""
    session = getattr(request, "session", None)
    return getattr(session, "_session_cache", {}).get(key)


@safely
def _logged_out(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    if user is None or not user.is_authenticated:
        return  # somebody who was not logged in logged out
    key = scopes.loaded_session_key(request) if request is not None else None
    fields = {"user.id": str(user.pk), "user.name": user.get_username()}
    hashed = session_hash(key)
    if hashed is not None:
        fields["seclog.session.id_hash"] = hashed
    tell(Event(type=EventType.SESSION_LOGOUT, fields=fields))


# ── failure ───────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _login_failed(sender: Any, credentials: Any = None, request: Any = None, **kwargs: Any) -> None:
    # allauth's keys are enum members, so keys are compared as text.
    given = {str(getattr(key, "value", key)).lower(): value for key, value in dict(credentials or {}).items()}
    typed = _typed_name(given)
    found = _remembered()
    _remember(None)
    user = None
    reason = "invalid_credentials"
    if found is not None and found[0] in {typed, ANY_NAME}:
        user = found[1]
        if user is None:
            reason = "unknown_user"
        elif not getattr(user, "is_active", True):
            reason = "inactive"
    scope = scopes.of()
    reason = (scope.noted(REFUSED) if scope is not None else None) or reason
    method = "password" if "password" in given else "remote_user" if "remote_user" in given else "other"
    _fail(typed, reason, user, method)


def _typed_name(given: dict[str, Any]) -> str:
    for key in (get_user_model().USERNAME_FIELD.lower(), *_NAME_KEYS):
        if given.get(key):
            return str(given[key])
    return ""


def _fail(typed: str, reason: str, user: Any = None, method: str = "password") -> None:
    if user is not None:
        api.login_failed(user.get_username(), reason, user_id=user.pk, auth_method=method)
    elif typed:
        api.login_failed(typed, reason, known=False, auth_method=method)
    else:  # a backend that takes no name, such as one for links in e-mails
        with attempt() as session_user:
            fields = {"seclog.auth.method": method, **session_user}
            tell(Event(type=EventType.AUTHN_LOGIN_FAIL, reason=reason, fields=fields))


def _clean(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    """The form refuses where no signal tells: right password but not allowed here, or a field left empty."""
    try:
        cleaned = original(form, *args, **kwargs)
    except Exception as error:
        with contained("the login form"):
            user = getattr(form, "user_cache", None)
            if user is not None:
                _remember(None)
                _fail(user.get_username(), _refusal(form, error, user), user)
        raise
    with contained("the login form"):
        data = form.cleaned_data
        if getattr(form, "user_cache", None) is None and not (data.get("username") and data.get("password")):
            _fail(str(form.data.get(form.add_prefix("username")) or ""), "incomplete_credentials")
    return cleaned


def _refusal(form: Any, error: Exception, user: Any) -> str:
    if not getattr(user, "is_active", True):
        return "inactive"
    at_the_admin = any(base.__name__ == "AdminAuthenticationForm" for base in type(form).__mro__)
    if at_the_admin and not getattr(user, "is_staff", False):
        return "not_staff"
    return str(getattr(error, "code", None) or "refused")


# ── known or unknown, without a query ─────────────────────────────────────────────────────────────────────
#
# `authenticate` looks the user up itself; what it found is remembered until the signal. In a request it is
# kept on the request's scope, which ends with it: a worker thread's next request cannot see it. Outside of
# one a ContextVar keeps it, which threads and tasks do not share. Each `authenticate` begins by clearing it.

_lookup: ContextVar[tuple[str, Any] | None] = ContextVar("seclog_user_lookup", default=None)


ANY_NAME: Final = ""
"""Stands for the typed name where a library looks users up in its own way, such as by e-mail address."""


def remember_user(user: Any) -> None:
    """Take note of the user that a library's own look-up found for the running attempt; None if nobody."""
    _remember((ANY_NAME, user))


def _remember(found: tuple[str, Any] | None) -> None:
    scope = scopes.of()
    if scope is not None:
        scope.note(_NOTE, found)
    else:
        _lookup.set(found)


def is_remembered() -> bool:
    """Tell whether a look-up of the running attempt is remembered."""
    return _remembered() is not None


def _remembered() -> tuple[str, Any] | None:
    """Return what the last look-up found: the name it was given, and the user or None."""
    scope = scopes.of()
    found: tuple[str, Any] | None = scope.noted(_NOTE) if scope is not None else _lookup.get()
    return found


def _attempt_begins(original: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("the beginning of a login"):
        _remember(None)
    return original(*args, **kwargs)


def _natural_key(original: Any, manager: Any, username: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        user = original(manager, username, *args, **kwargs)
    except manager.model.DoesNotExist:
        with contained("the user look-up"):
            _remember((str(username), None))
        raise
    with contained("the user look-up"):
        _remember((str(username), user))
    return user


async def _anatural_key(original: Any, manager: Any, username: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        user = await original(manager, username, *args, **kwargs)
    except manager.model.DoesNotExist:
        with contained("the user look-up"):
            _remember((str(username), None))
        raise
    with contained("the user look-up"):
        _remember((str(username), user))
    return user
