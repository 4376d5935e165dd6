"""Flask-Security: logins with their failures, password changes and resets, roles, activation, tokens, second factors.

Holes closed below the signals: a login with an unknown user, a disabled account with the right password, bad and
expired reset links, role grants, activation, new uniquifiers (which end all sessions), auth tokens. The keyword
arguments of the library's signals are never written: they hold raw tokens.

A password change logs in anew (`authn_via=["change"]`) and sets a new uniquifier: one entry. The datastore leaves the
commit to the app, so what it changes is told after the commit, with SQLAlchemy; an app that also watches `User.roles`
or `active` with `seclog.adapters.sqlalchemy` leaves them to one of the two. Tested with Flask-Security-Too 5.9.2.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from flask import Flask

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.flask import request as requests
from seclog.adapters.flask.users import session_id
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.adapters.integrations.flask_login import device, identity
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("Flask-Security-Too")
_DATASTORE: Final = "flask_security.datastore.UserDatastore"
_NO_LOGIN: Final = frozenset({"change"})
_PASSWORD_CODE: Final = frozenset({"change_user_password", "admin_change_password", "update_password"})
_MAX_FRAMES: Final = 8


def connect(app: Flask) -> None:
    """Listen to the signals on an app, wrap the forms, the datastore, the tokens, and the app's refusal."""
    security = app.extensions.get("security")
    if security is None:
        return
    for name, receiver in (
        ("user_authenticated", _authenticated),
        ("user_failed_authn", _failed),
        ("password_changed", _password_changed),
        ("password_reset", _password_reset),
        ("reset_password_instructions_sent", _reset_requested),
        ("tf_code_confirmed", _second_factor),
        ("tf_profile_changed", _second_factor_enrolled),
        ("tf_disabled", _second_factor_removed),
    ):
        signal = library.find(f"flask_security.signals.{name}")
        if signal is not None:
            signal.connect(receiver, app)
    library.wrap("flask_security.forms.LoginForm.validate", _login_form)
    library.wrap("flask_security.forms.ForgotPasswordForm.validate", _forgot_form)
    library.wrap("flask_security.forms.ChangePasswordForm.validate", _change_form)
    library.wrap("flask_security.forms.ResetPasswordForm.validate", _reset_form)
    for name, around in (
        ("add_role_to_user", _role_added),
        ("remove_role_from_user", _role_removed),
        ("add_permissions_to_role", _permissions_changed),
        ("remove_permissions_from_role", _permissions_changed),
        ("activate_user", _activation),
        ("deactivate_user", _activation),
        ("toggle_active", _activation),
        ("set_uniquifier", _sessions_revoked),
        ("set_token_uniquifier", _tokens_revoked),
        ("create_user", _user_created),
        ("delete_user", _user_deleted),
    ):
        library.wrap(f"{_DATASTORE}.{name}", around)
    library.wrap("flask_security.core.UserMixin.get_auth_token", _token_issued)
    for module, name, function in (
        ("views", "reset_password_token_status", _reset_link),
        ("core", "parse_auth_token", _token_parsed),
    ):
        found = library.find(f"flask_security.{module}")
        if found is not None:
            wrap_method(found, name, function, library=str(library))
    wrap_method(security, "_unauthz_handler", _unauthorized, library=str(library))


def _about(user: Any) -> dict[str, object]:
    key, name = identity(user)
    return accounts.present({"seclog.target.name": name, **({} if key is None else accounts.about_user(key, name))})


# ── login ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _authenticated(sender: Any, user: Any = None, authn_via: Any = (), **kwargs: Any) -> None:
    ways = [str(way) for way in authn_via or ()]
    key, name = identity(user)
    api.bind_user(key, name)
    if _NO_LOGIN.isdisjoint(ways):
        accounts.login_succeeded(key, name, ",".join(ways) or "direct", **device())
    scope = requests.of()
    if scope is None or accounts.is_told(EventType.SESSION_CREATED):
        return
    if _NO_LOGIN.isdisjoint(ways):
        fields = {"user.id": key, "user.name": name, "seclog.session.id_hash": session_id(scope.app, scope.session)}
        tell(Event(type=EventType.SESSION_CREATED, fields=accounts.present(fields)))
    else:  # the same session goes on under the new uniquifier, which looks like another user
        scope.recorded += (EventType.SESSION_CREATED,)


@safely
def _failed(sender: Any, user: Any = None, auth_type: Any = None, **kwargs: Any) -> None:
    if user is None:
        return
    key, name = identity(user)
    if kwargs.get("tfa"):
        fields = {"user.id": key, "user.name": name, "seclog.auth.factor": str(auth_type)}
        with attempt():
            tell(Event(type=EventType.AUTHN_MFA_FAIL, reason="invalid_code", fields=accounts.present(fields)))
    elif not accounts.is_told(EventType.AUTHN_LOGIN_FAIL):
        api.login_failed(name or key, "invalid_credentials", user_id=key, auth_method=str(auth_type or "password"))


def _login_form(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    is_valid = original(form, *args, **kwargs)
    if not is_valid:
        with contained("a refused login form"):
            if not accounts.is_told(EventType.AUTHN_LOGIN_FAIL) and not _is_csrf(form):
                _tell_refused_form(form)
    return is_valid


def _is_csrf(form: Any) -> bool:
    return "csrf_token" in (getattr(form, "errors", None) or {})


def _tell_refused_form(form: Any) -> None:
    user = getattr(form, "user", None)
    if user is not None:
        key, name = identity(user)
        api.login_failed(name or key, _refusal(form, user), user_id=key, auth_method="password")
        return
    typed = next((str(form[name].data) for name in ("email", "username") if name in form and form[name].data), "")
    password = form["password"].data if "password" in form else None
    reason = "unknown_user" if typed and password else "incomplete_credentials"
    api.login_failed(typed, reason, known=False, auth_method="password")


def _refusal(form: Any, user: Any) -> str:
    if not getattr(form, "user_authenticated", False):
        return "invalid_credentials"
    if not getattr(user, "is_active", True):
        return "inactive"
    return "not_confirmed" if getattr(form, "requires_confirmation", False) else "locked"


@safely
def _second_factor(sender: Any, user: Any = None, method: Any = None, **kwargs: Any) -> None:
    _tell_factor(EventType.AUTHN_MFA_SUCCESS, user, method)


@safely
def _second_factor_enrolled(sender: Any, user: Any = None, method: Any = None, **kwargs: Any) -> None:
    _tell_factor(EventType.AUTHN_MFA_ENROLLED, user, method)


@safely
def _second_factor_removed(sender: Any, user: Any = None, **kwargs: Any) -> None:
    _tell_factor(EventType.AUTHN_MFA_REMOVED, user, None)


def _tell_factor(kind: EventType, user: Any, method: Any) -> None:
    key, name = identity(user)
    fields = {"user.id": accounts.acting_user() or key, "user.name": name, **_about(user)}
    tell(Event(type=kind, fields=accounts.present({**fields, "seclog.auth.factor": str(method or "any")})))


# ── passwords ─────────────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _password_changed(sender: Any, user: Any = None, **kwargs: Any) -> None:
    key, _ = identity(user)
    fields = {**_about(user), "seclog.method": accounts.method_of(key)}
    _after_commit(Event(type=EventType.AUTHN_PASSWORD_CHANGE, fields=fields))


@safely
def _password_reset(sender: Any, user: Any = None, **kwargs: Any) -> None:
    key, name = identity(user)  # whoever holds the link acts as the user
    fields = {**_about(user), "user.id": key, "user.name": name}
    _after_commit(Event(type=EventType.AUTHN_PASSWORD_RESET_COMPLETE, fields=accounts.present(fields)))


@safely
def _reset_requested(sender: Any, user: Any = None, **kwargs: Any) -> None:
    key, name = identity(user)
    accounts.reset_requested("", key, name)


def _forgot_form(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    """The answer may be the same for every address; only the form knows."""
    is_valid = original(form, *args, **kwargs)
    if not is_valid:
        with contained("a refused password reset form"):
            address = form["email"].data if "email" in form else None
            user = getattr(form, "user", None)
            if user is not None:
                key, name = identity(user)
                reason = "inactive" if not getattr(user, "is_active", True) else "refused"
                accounts.reset_requested("", key, name, reason)
            elif address and not _is_csrf(form):
                accounts.reset_requested(str(address))
    return is_valid


def _change_form(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    is_valid = original(form, *args, **kwargs)
    if not is_valid and not _is_csrf(form):
        with contained("a refused password change"):
            wrong = "password" in (form.errors or {})
            fields = {"user.id": accounts.acting_user(), "seclog.method": "self"}
            reason = "wrong_password" if wrong else "weak_password"
            tell(Event(type=EventType.AUTHN_PASSWORD_CHANGE_FAIL, reason=reason, fields=accounts.present(fields)))
    return is_valid


def _reset_form(original: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    is_valid = original(form, *args, **kwargs)
    if not is_valid and not _is_csrf(form):
        with contained("a refused password reset"):
            user = getattr(form, "user", None)
            about = {} if user is None else _about(user)
            tell(Event(type=EventType.AUTHN_PASSWORD_RESET_FAIL, reason="weak_password", fields=about))
    return is_valid


def _reset_link(original: Any, *args: Any, **kwargs: Any) -> Any:
    found = original(*args, **kwargs)
    with contained("a reset link"):
        expired, invalid, user = found[:3]
        if expired or invalid or user is None:
            reason = "expired_link" if expired else "invalid_link" if invalid else "unknown_user"
            about = {} if user is None else _about(user)
            tell(Event(type=EventType.AUTHN_PASSWORD_RESET_FAIL, reason=reason, fields=about))
    return found


# ── accounts: roles, activation, uniquifiers ──────────────────────────────────────────────────────────────────────


def _after_commit(told: Event | Callable[[], Event], datastore: Any = None) -> None:
    """Tell once the app has committed. A datastore that is not SQLAlchemy's saves at once."""
    if datastore is None:
        scope = requests.of()
        security = scope.app.extensions.get("security") if scope is not None else None
        datastore = getattr(security, "datastore", None)
    session = getattr(getattr(datastore, "db", None), "session", None)
    if session is not None and "sqlalchemy" in sys.modules:
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(session, Session | scoped_session):
            from seclog.adapters.sqlalchemy import after_commit

            after_commit(session, told)
            return
    tell(told if isinstance(told, Event) else told())


def _role_added(original: Any, datastore: Any, *args: Any, **kwargs: Any) -> Any:
    return _role_changed(EventType.GROUP_MEMBER_ADDED, original, datastore, args, kwargs)


def _role_removed(original: Any, datastore: Any, *args: Any, **kwargs: Any) -> Any:
    return _role_changed(EventType.GROUP_MEMBER_REMOVED, original, datastore, args, kwargs)


def _role_changed(kind: EventType, original: Any, datastore: Any, args: Any, kwargs: Any) -> Any:
    is_changed = original(datastore, *args, **kwargs)
    if is_changed:
        with contained("a changed role"):
            user, role = (*args, *(kwargs[name] for name in ("user", "role") if name in kwargs))[:2]
            name = role if isinstance(role, str) else role.name
            _after_commit(Event(type=kind, fields={**_about(user), "seclog.group.name": name}), datastore)
    return is_changed


def _permissions_changed(original: Any, datastore: Any, *args: Any, **kwargs: Any) -> Any:
    role: Any = None
    before: list[str] = []
    with contained("a role before its change"):
        role = args[0] if args else kwargs.get("role")
        role = datastore.find_role(role) if isinstance(role, str) else role
        before = sorted(role.get_permissions()) if role is not None else []
    result = original(datastore, *args, **kwargs)
    with contained("a changed role"):
        after = sorted(role.get_permissions()) if role is not None else []
        if before != after:
            fields: dict[str, object] = {
                "seclog.group.name": role.name,
                "seclog.change.field": "permissions",
                "seclog.change.direction": "grant" if set(before) < set(after) else "revoke",
                "seclog.change.old": before,
                "seclog.change.new": after,
            }
            _after_commit(Event(type=EventType.GROUP_PERMISSIONS_CHANGED, fields=fields), datastore)
    return result


def _activation(original: Any, datastore: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    before = getattr(user, "active", None)
    result = original(datastore, user, *args, **kwargs)
    with contained("a changed activation"):
        if before != user.active:
            kind = EventType.USER_ENABLED if user.active else EventType.USER_ARCHIVED
            _after_commit(Event(type=kind, fields=_about(user)), datastore)
    return result


def _sessions_revoked(original: Any, datastore: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(datastore, user, *args, **kwargs)
    with contained("a new uniquifier"):
        if not _is_part_of_a_password_change():
            _after_commit(
                Event(type=EventType.SESSION_REVOKED, reason="uniquifier_changed", fields=_about(user)), datastore
            )
    return result


def _is_part_of_a_password_change() -> bool:
    frame: Any = sys._getframe()
    for _ in range(_MAX_FRAMES):
        frame = frame.f_back
        if frame is None:
            return False
        module = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name in _PASSWORD_CODE and module.startswith("flask_security."):
            return True
    return False


def _tokens_revoked(original: Any, datastore: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(datastore, user, *args, **kwargs)
    with contained("a new token uniquifier"):
        if hasattr(user, "fs_token_uniquifier"):
            fields = {**_about(user), "seclog.token.type": "flask_security"}
            _after_commit(
                Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="uniquifier_changed", fields=fields), datastore
            )
    return result


def _user_created(original: Any, datastore: Any, *args: Any, **kwargs: Any) -> Any:
    user = original(datastore, *args, **kwargs)
    with contained("a new user"):
        roles = [str(role.name) for role in getattr(user, "roles", ())]
        name = identity(user)[1]

        def made() -> Event:
            fields = {**_about(user), "seclog.target.name": name, "seclog.target.roles": roles}
            return Event(type=EventType.USER_CREATED, fields=accounts.present(fields))

        _after_commit(made, datastore)
    return user


def _user_deleted(original: Any, datastore: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    told: Event | None = None
    with contained("a user before its end"):
        told = Event(type=EventType.USER_DELETED, fields=_about(user))
    result = original(datastore, user, *args, **kwargs)
    with contained("a user's end"):
        if told is not None:
            _after_commit(told, datastore)
    return result


# ── tokens, refused access ────────────────────────────────────────────────────────────────────────────────────────


def _token_issued(original: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    token = original(user, *args, **kwargs)
    with contained("an issued token"):
        key, _ = identity(user)
        fields = {
            "user.id": accounts.acting_user() or key,
            "seclog.target.id": key,
            "seclog.token.id_hash": accounts.token_hash(token),
            "seclog.token.type": "flask_security",
            "seclog.token.scope": "all",
        }
        tell(Event(type=EventType.AUTHN_TOKEN_CREATED, fields=accounts.present(fields)))
    return token


def _token_parsed(original: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(token, *args, **kwargs)
    except Exception as error:
        with contained("a refused token"):
            if token and not accounts.is_told(EventType.AUTHN_TOKEN_INVALID, EventType.AUTHN_TOKEN_EXPIRED):
                is_expired = "Expired" in type(error).__name__ or "expired" in str(error).lower()
                kind = EventType.AUTHN_TOKEN_EXPIRED if is_expired else EventType.AUTHN_TOKEN_INVALID
                fields = {"seclog.token.id_hash": accounts.token_hash(token), "seclog.token.type": "flask_security"}
                reason = "expired" if is_expired else "bad_signature"
                tell(Event(type=kind, reason=reason, fields=accounts.present(fields)))
        raise


def _unauthorized(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Somebody known lacks a role or a permission; the answer is a 403 or a redirect, as the app likes."""
    with contained("a missing role"):
        params = args[1] if len(args) > 1 else kwargs.get("params")
        scope = requests.of()
        if scope is not None:
            scope.denied_permission = ", ".join(map(str, params or ()))[:256] or None
            fields = {"seclog.permission": scope.denied_permission, "seclog.view": scope.view}
            accounts.propose(Event(type=EventType.AUTHZ_FAIL, reason="missing_role", fields=accounts.present(fields)))
    return original(*args, **kwargs)
