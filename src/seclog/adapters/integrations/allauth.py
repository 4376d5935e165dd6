"""django-allauth: accounts (reset, codes), second factors, social logins.

Logins themselves, and failed ones, come through Django's signals; allauth's own `user_logged_in` would tell each again
and is not listened to. What Django cannot know is added: by which method and provider somebody logged in.
A reset request and a bad link send no signal at all.

Tested with django-allauth 65.21.1.
"""

from typing import Any, Final

from django.apps import apps

from seclog import api
from seclog.adapters._hooks import contained, safely, tell
from seclog.adapters.django import login, passwords
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import acting_user, user_fields
from seclog.adapters.integrations._allauth import tell_bad_link, tell_refused_password
from seclog.adapters.integrations._library import Library
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("django-allauth")

_METHODS: Final = {"socialaccount": "social", "login_by_code": "code"}
_FLOWS: Final = "allauth.account.internal.flows"


def connect() -> None:
    """Listen and wrap, app by app: account, mfa, socialaccount."""
    if apps.is_installed("allauth.account"):
        library.listen("allauth.account.signals.authentication_step_completed", _step_completed)
        library.listen("allauth.account.signals.login_code_rejected", _login_code_rejected)
        library.listen("allauth.account.signals.password_reset_code_rejected", _reset_code_rejected)
        library.listen("allauth.account.signals.email_added", _address_added)
        library.listen("allauth.account.signals.email_removed", _address_removed)
        library.wrap("allauth.account.auth_backends.AuthenticationBackend._check_password", _check_password)
        library.wrap("allauth.account.adapter.DefaultAccountAdapter.pre_authenticate", _pre_authenticate)
        library.wrap(f"{_FLOWS}.password_reset.request_password_reset", _reset_by_link)
        library.wrap(f"{_FLOWS}.password_reset_by_code.PasswordResetVerificationProcess.initiate", _reset_by_code)
        library.wrap(f"{_FLOWS}.password_reset.reset_password", _reset)
        library.wrap("allauth.account.views.PasswordResetFromKeyView.dispatch", _reset_view)
        library.wrap("allauth.account.forms.ChangePasswordForm.full_clean", _change_form)
        library.wrap("allauth.account.forms.ResetPasswordKeyForm.full_clean", _reset_form)
    if apps.is_installed("allauth.mfa"):
        library.listen("allauth.mfa.signals.authenticator_added", _factor_added)
        library.listen("allauth.mfa.signals.authenticator_removed", _factor_removed)
        library.listen("allauth.mfa.signals.authenticator_reset", _factor_reset)
        library.listen("allauth.mfa.signals.authenticator_used", _factor_used)
        library.listen("allauth.mfa.signals.authentication_failed", _factor_failed)
    if apps.is_installed("allauth.socialaccount"):
        library.listen("allauth.socialaccount.signals.social_account_added", _social_added)
        library.listen("allauth.socialaccount.signals.social_account_removed", _social_removed)
        library.wrap(
            "allauth.socialaccount.adapter.DefaultSocialAccountAdapter.on_authentication_error", _social_failed
        )


# ── login ─────────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _step_completed(sender: Any, request: Any = None, user: Any = None, method: Any = None, **kwargs: Any) -> None:
    """The steps of a login come before it: they say how it was done. A second factor leaves the first one's method."""
    scope = scopes.of()
    if scope is None or kwargs.get("reauthenticated"):
        return
    how = dict(scope.noted(login.HOW) or {})
    if method == "mfa" and not kwargs.get("passwordless"):
        steps = request.session.get("account_authentication_methods") or [{}]
        how["seclog.auth.method"] = _method(steps[0].get("method"))
        how["seclog.auth.factor"] = kwargs.get("type")
    else:
        how["seclog.auth.method"] = "passkey" if method == "mfa" else _method(method)
    if kwargs.get("provider"):
        how["seclog.auth.provider"] = kwargs["provider"]
    scope.note(login.HOW, how)


def _method(method: Any) -> str:
    return _METHODS.get(str(method), str(method or "other"))


def _check_password(original: Any, backend: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("the user look-up"):
        if user is not None:
            login.remember_user(user)
        elif not login.is_remembered():
            login.remember_user(None)
    return original(backend, user, *args, **kwargs)


def _pre_authenticate(original: Any, adapter: Any, request: Any, *args: Any, **credentials: Any) -> Any:
    """The library's own limit refuses before anybody is asked: without a signal, with an ordinary page."""
    try:
        return original(adapter, request, *args, **credentials)
    except Exception:
        with contained("a login beyond the limit"):
            name = credentials.get("username") or credentials.get("email") or credentials.get("phone") or ""
            api.login_failed(str(name), "rate_limited", known=False, auth_method="password")
        raise


@safely
def _login_code_rejected(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    if user is not None:
        api.login_failed(user.get_username(), "invalid_code", user_id=user.pk, auth_method="code")


# ── password ──────────────────────────────────────────────────────────────────────────────────────────────


def _reset_by_link(original: Any, request: Any, email: Any, users: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a password reset"):
        passwords.tell_request(str(email), list(users or ()))
    return original(request, email, users, *args, **kwargs)


def _reset_by_code(original: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a password reset"):
        user = kwargs.get("user")
        passwords.tell_request(str(kwargs.get("email", "")), [user] if user is not None else [])
    return original(*args, **kwargs)


def _reset(original: Any, *args: Any, **kwargs: Any) -> Any:
    with passwords.reset_running():
        return original(*args, **kwargs)


def _reset_view(original: Any, view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    response = original(view, request, *args, **kwargs)
    with contained("the password reset view"):
        if getattr(view, "reset_user", view) is None:
            tell_bad_link(str(kwargs.get("uidb36", "")), str(getattr(view, "key", "")))
    return response


@safely
def _reset_code_rejected(sender: Any, request: Any = None, user: Any = None, **kwargs: Any) -> None:
    fields = {} if user is None else user_fields(user)
    tell(Event(type=EventType.AUTHN_PASSWORD_RESET_FAIL, reason="invalid_code", fields=fields))


def _change_form(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(form, *args, **kwargs)
    with contained("the password form"):
        tell_refused_password(form, EventType.AUTHN_PASSWORD_CHANGE_FAIL)
    return result


def _reset_form(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(form, *args, **kwargs)
    with contained("the password form"):
        tell_refused_password(form, EventType.AUTHN_PASSWORD_RESET_FAIL)
    return result


# ── second factors ────────────────────────────────────────────────────────────────────────────────────────


def _factor(kind: EventType, user: Any, authenticator: Any, reason: str | None = None, **fields: object) -> None:
    about = {**user_fields(user), **user_fields(user, prefix="user"), "seclog.auth.factor": authenticator.type}
    if kind in {EventType.AUTHN_MFA_ENROLLED, EventType.AUTHN_MFA_REMOVED}:
        about["user.id"] = acting_user() or str(user.pk)
        if about["user.id"] != str(user.pk):
            about.pop("user.name")
    tell(Event(type=kind, reason=reason, fields={**about, **fields}))


@safely
def _factor_added(sender: Any, user: Any = None, authenticator: Any = None, **kwargs: Any) -> None:
    _factor(EventType.AUTHN_MFA_ENROLLED, user, authenticator)


@safely
def _factor_removed(sender: Any, user: Any = None, authenticator: Any = None, **kwargs: Any) -> None:
    _factor(EventType.AUTHN_MFA_REMOVED, user, authenticator)


@safely
def _factor_reset(sender: Any, user: Any = None, authenticator: Any = None, **kwargs: Any) -> None:
    _factor(EventType.AUTHN_MFA_ENROLLED, user, authenticator, "regenerated")


@safely
def _factor_used(
    sender: Any, user: Any = None, authenticator: Any = None, reauthenticated: Any = None, **kwargs: Any
) -> None:
    _factor(EventType.AUTHN_MFA_SUCCESS, user, authenticator, "reauthentication" if reauthenticated else None)


@safely
def _factor_failed(sender: Any, user: Any = None, authenticator: Any = None, **kwargs: Any) -> None:
    with attempt() as session_user:
        _factor(EventType.AUTHN_MFA_FAIL, user, authenticator, "invalid_code", **session_user)


# ── addresses and social accounts: other ways in ───────────────────────────────────────────────────────────────────────


@safely
def _address_added(sender: Any, user: Any = None, email_address: Any = None, **kwargs: Any) -> None:
    """A further address is another way in: resets and codes go there as well."""
    _tell_way_in(user, "email_address", None, email_address.email)


@safely
def _address_removed(sender: Any, user: Any = None, email_address: Any = None, **kwargs: Any) -> None:
    _tell_way_in(user, "email_address", email_address.email, None)


@safely
def _social_added(sender: Any, sociallogin: Any = None, **kwargs: Any) -> None:
    _tell_way_in(sociallogin.user, "social_account", None, sociallogin.account.provider)


@safely
def _social_removed(sender: Any, socialaccount: Any = None, **kwargs: Any) -> None:
    _tell_way_in(socialaccount.user, "social_account", socialaccount.provider, None)


def _tell_way_in(user: Any, kind: str, old: str | None, new: str | None) -> None:
    fields: dict[str, object] = {
        **user_fields(user),
        "user.id": acting_user() or str(user.pk),
        "seclog.change.field": kind,
        "seclog.change.old": old,
        "seclog.change.new": new,
    }
    tell(Event(type=EventType.USER_UPDATED, fields=fields))


def _social_failed(
    original: Any, adapter: Any, request: Any, provider: Any, *args: Any, error: Any = None, **kwargs: Any
) -> Any:
    with contained("a failed social login"), attempt() as session_user:
        reason = str(getattr(error, "value", error) or "unknown")
        fields = {"seclog.auth.method": "social", "seclog.auth.provider": provider.id, **session_user}
        tell(Event(type=EventType.AUTHN_LOGIN_FAIL, reason=reason, fields=fields))
    return original(adapter, request, provider, *args, error=error, **kwargs)
