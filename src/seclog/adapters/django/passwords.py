"""Family 2: password reset (requested, completed, failed) and change (by oneself, an admin, a job; refused).

Forms tell what was asked and refused, the saved user tells what was done, the confirm view tells bad links.
So the project's own views are covered as well, as long as they use Django's forms or `set_password`.

Traps handled here: an unknown address gets the same answer, and only the form's own search tells; the hash
upgrade at a login saves a password without being a change (`_password` is None then); a good link first
answers with a redirect, which is no event; what is rolled back did not happen; the token must be nowhere.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import django
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    PasswordChangeForm,
    PasswordResetForm,
    SetPasswordForm,
)
from django.contrib.auth.hashers import is_password_usable
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN, PasswordResetConfirmView
from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet
from django.db.models.signals import post_save, pre_save
from django.utils.http import base36_to_int

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.django.actors import acting_user, method_of, resolve_actor, user_fields
from seclog.adapters.django.model_changes import tell_after_commit
from seclog.context import attempt
from seclog.events import Event, EventType

_LIBRARY: Final = f"Django {django.get_version()}"
_DISABLED: Final = "_seclog_password_disabled"

_resetting: ContextVar[bool] = ContextVar("seclog_password_reset", default=False)
"""Whether the running code is the view that a reset link leads to."""
_changing: ContextVar[bool] = ContextVar("seclog_password_change", default=False)
"""Whether the running code lets a user change a password with the form that a reset uses elsewhere."""


def connect() -> None:
    """Listen to saved users, and wrap the forms and the view of Django's password pages."""
    user_model = get_user_model()
    for model in apps.get_models():
        if issubclass(model, user_model):  # a proxy of the user model sends its own signals
            pre_save.connect(_before_save, sender=model, dispatch_uid="seclog.password_before_save")
            post_save.connect(_saved, sender=model, dispatch_uid="seclog.password_saved")
    wrap_method(AbstractBaseUser, "set_unusable_password", _disabled, library=_LIBRARY)
    wrap_method(PasswordResetForm, "save", _requested, library=_LIBRARY)
    wrap_method(PasswordResetConfirmView, "dispatch", _confirm, library=_LIBRARY)
    # PasswordChangeForm is a SetPasswordForm: it inherits the wrapper.
    wrap_method(SetPasswordForm, "full_clean", _cleaned, library=_LIBRARY)
    wrap_method(AdminPasswordChangeForm, "full_clean", _cleaned, library=_LIBRARY)


# ── done: a user was saved with a new password ────────────────────────────────────────────────────────────


@safely
def _before_save(
    sender: Any, instance: Any = None, raw: bool = False, update_fields: Any = None, **kwargs: Any
) -> None:
    """Find out who acts while it can be told: with the new password Django would end the session of its owner."""
    if raw or _resetting.get() or instance._state.adding:
        return
    if update_fields is not None and "password" not in update_fields:
        return
    if getattr(instance, "_password", None) is not None or _DISABLED in instance.__dict__:
        resolve_actor()


@safely
def _saved(
    sender: Any,
    instance: Any = None,
    created: bool = False,
    raw: bool = False,
    update_fields: Any = None,
    using: str = DEFAULT_DB_ALIAS,
    **kwargs: Any,
) -> None:
    if update_fields is not None and "password" not in update_fields:
        return
    was_disabled = instance.__dict__.pop(_DISABLED, False)
    was_set = getattr(instance, "_password", None) is not None
    if created or raw or not (was_set or was_disabled):
        return
    if _resetting.get():
        # Whoever holds the link acts as the user, no matter who else is logged in in that browser.
        fields = user_fields(instance) | user_fields(instance, prefix="user")
        event = Event(type=EventType.AUTHN_PASSWORD_RESET_COMPLETE, fields=fields)
    else:
        fields = {**user_fields(instance), "seclog.method": method_of(instance.pk)}
        event = Event(
            type=EventType.AUTHN_PASSWORD_CHANGE,
            reason=None if was_set else "password_disabled",
            fields=fields,
        )
    tell_after_commit(using, [event])


def _disabled(original: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    usable = is_password_usable(user.__dict__.get("password"))  # of a deferred field nothing is known
    result = original(user, *args, **kwargs)
    if usable:
        user.__dict__[_DISABLED] = True
    return result


# ── requested ─────────────────────────────────────────────────────────────────────────────────────────────


def _requested(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    """The answer is the same for every address; the form's own search is listened to."""
    found: dict[object, Any] = {}
    with contained("the password reset form"):
        _listen(form, found)
    try:
        return original(form, *args, **kwargs)
    finally:
        with contained("the password reset form"):
            form.__dict__.pop("get_users", None)
            tell_request(str(form.cleaned_data.get("email", "")), list(found.values()))


def _listen(form: Any, found: dict[object, Any]) -> None:
    search = form.get_users

    def get_users(*args: Any, **kwargs: Any) -> Any:
        users = search(*args, **kwargs)
        if isinstance(users, Collection | QuerySet):  # a project's own search: its result stays what it is
            found.update((user.pk, user) for user in users)
            return users
        return _noting(users, found)

    form.get_users = get_users


def _noting(users: Iterable[Any], found: dict[object, Any]) -> Iterator[Any]:
    for user in users:
        found[user.pk] = user
        yield user


def tell_request(address: str, found: list[Any]) -> None:
    """Tell that a reset was asked for: once for each user of that address, or once if there is none."""
    installation = api.installed()
    with attempt() as session_user:
        for user in found:
            fields = {
                **user_fields(user),
                "user.name": user.get_username(),
                "seclog.known": True,
                **session_user,
            }
            tell(Event(type=EventType.AUTHN_PASSWORD_RESET_REQUEST, fields=fields))
        if not found and installation is not None:
            fields = {"user.name": installation.unknown_name(address), "seclog.known": False, **session_user}
            tell(Event(type=EventType.AUTHN_PASSWORD_RESET_REQUEST, reason="unknown_user", fields=fields))


# ── failed: a bad link ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def reset_running() -> Iterator[None]:
    """Mark the block in which whoever holds a reset link sets a new password."""
    token = _resetting.set(True)
    try:
        yield
    finally:
        _resetting.reset(token)


@contextmanager
def change_running() -> Iterator[None]:
    """Mark the block in which a library uses `SetPasswordForm` for the change of one's own password."""
    token = _changing.set(True)
    try:
        yield
    finally:
        _changing.reset(token)


def _confirm(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    with reset_running():
        response = original(view, *args, **kwargs)
    with contained("the password reset view"):
        # A good link is answered with a redirect to a page without the token: nothing has happened yet.
        if not getattr(view, "validlink", True) and response.status_code < 300:
            target = getattr(view, "user", None)
            tell(
                Event(
                    type=EventType.AUTHN_PASSWORD_RESET_FAIL,
                    reason=_link_fault(view, kwargs.get("token", "")),
                    fields=user_fields(target) if target is not None else {},
                )
            )
    return response


def _link_fault(view: Any, token: str) -> str:
    """Return what is wrong with a link. A used one cannot be told from a forged one, not even by Django."""
    if getattr(view, "user", None) is None:
        return "unknown_user"
    if token == view.reset_url_token:
        token = view.request.session.get(INTERNAL_RESET_SESSION_TOKEN) or ""
    return link_fault(token)


def link_fault(token: str) -> str:
    """Return what is wrong with the token of a link that names a user."""
    try:
        seconds = base36_to_int(token.partition("-")[0])
    except ValueError:
        return "invalid_link"
    age = (datetime.now() - datetime(2001, 1, 1)).total_seconds() - seconds
    return "expired_link" if age > settings.PASSWORD_RESET_TIMEOUT else "invalid_link"


# ── refused: the form ─────────────────────────────────────────────────────────────────────────────────────


def _cleaned(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(form, *args, **kwargs)
    with contained("the password form"):
        if form.is_bound and form._errors and form.user is not None:
            _tell_refusal(form)
    return result


def _tell_refusal(form: Any) -> None:
    target = form.user
    codes = [str(error.code) for errors in form._errors.as_data().values() for error in errors if error.code]
    fields: dict[str, object] = {**user_fields(target), "seclog.validation.codes": codes}
    if not (_changing.get() or isinstance(form, (PasswordChangeForm, AdminPasswordChangeForm))):
        event_type = EventType.AUTHN_PASSWORD_RESET_FAIL
    else:
        event_type = EventType.AUTHN_PASSWORD_CHANGE_FAIL
        fields["seclog.method"] = method_of(target.pk)
        fields["user.id"] = acting_user() or str(target.pk)
    tell(Event(type=event_type, reason=_refusal(codes), fields=fields))


def _refusal(codes: list[str]) -> str:
    """Return the reason by Django's error codes; what is left comes from the password validators."""
    for code, reason in (
        ("password_incorrect", "wrong_password"),
        ("required", "incomplete"),
        ("password_mismatch", "password_mismatch"),
    ):
        if code in codes:
            return reason
    return "weak_password"
