"""dj-rest-auth: logins without a session, and its password serializers, which go past Django's views and forms.

Tested with dj-rest-auth 7.2.0.
"""

from typing import Any, Final

from django.apps import apps

from seclog import api
from seclog.adapters._hooks import contained, tell
from seclog.adapters.django import passwords
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import user_fields
from seclog.adapters.django.login import succeeded
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("dj-rest-auth")
_SERIALIZERS: Final = "dj_rest_auth.serializers"


def connect() -> None:
    """Wrap the login view and the serializers of reset and change."""
    if not apps.is_installed("dj_rest_auth"):
        return
    library.wrap("dj_rest_auth.views.LoginView.login", _login)
    library.wrap(f"{_SERIALIZERS}.PasswordResetConfirmSerializer.validate", _confirm)
    library.wrap(f"{_SERIALIZERS}.PasswordResetConfirmSerializer.save", _reset)
    library.wrap(f"{_SERIALIZERS}.PasswordChangeSerializer.validate_old_password", _old_password)
    library.wrap(f"{_SERIALIZERS}.PasswordChangeSerializer.validate", _change)
    if apps.is_installed("allauth"):
        library.wrap("dj_rest_auth.forms.AllAuthPasswordResetForm.save", _request)


def _login(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    """With a session, Django's signal has told the login; without one nothing has."""
    scope = scopes.of()
    before = 0 if scope is None else scope.recorded.count(EventType.AUTHN_LOGIN_SUCCESS)
    result = original(view, *args, **kwargs)
    with contained("a login for a token"):
        if scope is not None and scope.recorded.count(EventType.AUTHN_LOGIN_SUCCESS) == before:
            api.bind_user(view.user.pk, view.user.get_username())
            tell(succeeded(view.user, view.request))
    return result


def _request(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a password reset"):
        passwords.tell_request(str(form.cleaned_data.get("email", "")), list(form.users))
    return original(form, *args, **kwargs)


def _confirm(original: Any, serializer: Any, attrs: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(serializer, attrs, *args, **kwargs)
    except Exception as error:
        with contained("a refused password reset"):
            wrong = getattr(error, "detail", {})
            user = serializer.user
            if "uid" in wrong or "token" in wrong:  # what the form refuses, the form's own hook tells
                reason = "unknown_user" if user is None else passwords.link_fault(str(attrs.get("token", "")))
                fields = {} if user is None else user_fields(user)
                tell(Event(type=EventType.AUTHN_PASSWORD_RESET_FAIL, reason=reason, fields=fields))
        raise


def _reset(original: Any, *args: Any, **kwargs: Any) -> Any:
    with passwords.reset_running():
        return original(*args, **kwargs)


def _old_password(original: Any, serializer: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(serializer, *args, **kwargs)
    except Exception:
        with contained("a refused password change"):
            user = serializer.user
            if user is not None and user.is_authenticated:
                fields = {**user_fields(user), "user.id": str(user.pk), "seclog.method": "self"}
                tell(Event(type=EventType.AUTHN_PASSWORD_CHANGE_FAIL, reason="wrong_password", fields=fields))
        raise


def _change(original: Any, *args: Any, **kwargs: Any) -> Any:
    with passwords.change_running():
        return original(*args, **kwargs)
