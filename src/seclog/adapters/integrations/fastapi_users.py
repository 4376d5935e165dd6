"""fastapi-users: logins, logouts, tokens, password resets, and what changes in an account.

The library's own hooks (`on_after_login` …) are methods that an app overrides without calling ours; so what calls
them is wrapped. A login has succeeded where the backend answers, not where the password was right: an inactive or
unverified user is refused in between. `PATCH /me {"is_superuser": true}` is dropped silently and answered with 200:
an attempt that is told. `Authenticator._authenticate` knows the user of every request, and every refused token.

An app that also watches its user model with `seclog.adapters.sqlalchemy` leaves `is_superuser`, `is_active`,
`is_verified` and `email` to this module. Tested with fastapi-users 15.0.5.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from seclog import api
from seclog.adapters._hooks import contained, tell, wrap_method
from seclog.adapters._scope import session_hash
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("fastapi-users")
_MANAGER: Final = "fastapi_users.manager.BaseUserManager"
_BACKEND: Final = "fastapi_users.authentication.backend.AuthenticationBackend"
_FLAGS: Final = ("is_superuser", "is_active", "is_verified")
_FORGOT: Final = ("fastapi_users.router.reset", "forgot_password")
_MAX_FRAMES: Final = 8


def connect(app: Any = None) -> None:
    """Wrap the user manager, the backends and the authenticator, for all apps of the process."""
    for name, around in (
        ("authenticate", _authenticate),
        ("oauth_callback", _oauth_callback),
        ("get_by_email", _get_by_email),
        ("get", _get),
        ("forgot_password", _forgot_password),
        ("reset_password", _reset_password),
        ("create", _create),
        ("update", _update_asked),
        ("_update", _update),
        ("delete", _delete),
    ):
        library.wrap(f"{_MANAGER}.{name}", around)
    library.wrap(f"{_BACKEND}.login", _login)
    library.wrap(f"{_BACKEND}.logout", _logout)
    library.wrap("fastapi_users.authentication.authenticator.Authenticator._authenticate", _identify)
    router = library.find("fastapi_users.router.auth")
    if router is not None:
        wrap_method(router, "HTTPException", _refused, library=str(library))


class _Seen:
    """What the calls inside of one call found."""

    def __init__(self) -> None:
        self.user: Any = None
        self.token: Any = None
        self.is_destroyed = False
        self.is_reset = False


_seen: ContextVar[_Seen | None] = ContextVar("seclog_fastapi_users", default=None)
_proven: ContextVar[tuple[Any, str] | None] = ContextVar("seclog_fastapi_users_proven", default=None)
"""Who proved in this request who they are, and how; whether they may log in is decided later."""


@contextmanager
def _looking() -> Iterator[_Seen]:
    seen = _Seen()
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def _name(user: Any) -> Any:
    return getattr(user, "email", None)


def _fail(user: Any, reason: str) -> None:
    api.login_failed(_name(user), reason, user_id=user.id, auth_method="password")


# ── what is looked up ─────────────────────────────────────────────────────────────────────────────────────────────


async def _get(original: Any, manager: Any, *args: Any, **kwargs: Any) -> Any:
    user = await original(manager, *args, **kwargs)
    seen = _seen.get()
    if seen is not None:
        seen.user = user
    return user


async def _get_by_email(original: Any, manager: Any, email: Any, *args: Any, **kwargs: Any) -> Any:
    seen = _seen.get()
    try:
        user = await original(manager, email, *args, **kwargs)
    except Exception as error:
        with contained("a user look-up"):
            # an unknown address gets the same answer, and nothing else is called for it
            if seen is None and type(error).__name__ == "UserNotExists" and _asks_for_a_reset():
                accounts.reset_requested(str(email))
        raise
    if seen is not None:
        seen.user = user
    return user


def _asks_for_a_reset() -> bool:
    """Tell whether the library's own route for forgotten passwords waits for the running call."""
    frame: Any = sys._getframe()
    for _ in range(_MAX_FRAMES):
        frame = frame.f_back
        if frame is None:
            return False
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == _FORGOT:
            return True
    return False


# ── login and logout ──────────────────────────────────────────────────────────────────────────────────────────────


async def _authenticate(original: Any, manager: Any, credentials: Any, *args: Any, **kwargs: Any) -> Any:
    with _looking() as seen:
        user = await original(manager, credentials, *args, **kwargs)
    with contained("a login"):
        if user is None and seen.user is None:
            api.login_failed(getattr(credentials, "username", ""), "unknown_user", auth_method="password")
        elif user is None:
            _fail(seen.user, "invalid_credentials")
        elif not getattr(user, "is_active", True):
            _fail(user, "inactive")
        else:
            _proven.set((user, "password"))
    return user


async def _oauth_callback(original: Any, *args: Any, **kwargs: Any) -> Any:
    with _looking():
        user = await original(*args, **kwargs)
    with contained("a login by OAuth"):
        if getattr(user, "is_active", True):
            _proven.set((user, "oauth"))
        else:
            api.login_failed(_name(user), "inactive", user_id=user.id, auth_method="oauth")
    return user


def _refused(original: Any, *args: Any, **kwargs: Any) -> Any:
    """The login route makes its refusal: right password, but not verified."""
    error = original(*args, **kwargs)
    with contained("a refused login"):
        code = getattr(error, "detail", None)
        proven = _proven.get()
        if proven is not None and str(getattr(code, "value", code)) == "LOGIN_USER_NOT_VERIFIED":
            _proven.set(None)
            _fail(proven[0], "not_verified")
    return error


async def _login(original: Any, backend: Any, strategy: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a login"):
        wrap_method(type(strategy), "write_token", _write_token, library=str(library))
    with _looking() as seen:
        response = await original(backend, strategy, user, *args, **kwargs)
    with contained("a login"):
        proven = _proven.get()
        method = proven[1] if proven is not None and proven[0].id == user.id else "direct"
        _proven.set(None)
        accounts.login_succeeded(user.id, _name(user), method, **{"seclog.auth.backend": backend.name})
        tell(_issued(backend, strategy, user, seen.token))
    return response


async def _write_token(original: Any, strategy: Any, *args: Any, **kwargs: Any) -> Any:
    token = await original(strategy, *args, **kwargs)
    seen = _seen.get()
    if seen is not None:
        seen.token = token
    return token


def _issued(backend: Any, strategy: Any, user: Any, token: Any) -> Event:
    fields: dict[str, object] = {"user.id": str(user.id), "user.name": _name(user)}
    if _is_cookie(backend):
        hashed = session_hash(token)
        return Event(
            type=EventType.SESSION_CREATED, fields=accounts.present({**fields, "seclog.session.id_hash": hashed})
        )
    lifetime = getattr(strategy, "lifetime_seconds", None)
    fields |= {
        "seclog.target.id": str(user.id),
        "seclog.token.id_hash": accounts.token_hash(token),
        "seclog.token.type": _kind(strategy),
        "seclog.token.scope": "all",
        "seclog.token.expires": accounts.expiry(time.time() + lifetime) if lifetime else "never",
    }
    return Event(type=EventType.AUTHN_TOKEN_CREATED, fields=accounts.present(fields))


def _is_cookie(backend: Any) -> bool:
    return any(kind.__name__ == "CookieTransport" for kind in type(backend.transport).__mro__)


def _kind(strategy: Any) -> str:
    is_jwt = any(kind.__name__ == "JWTStrategy" for kind in type(strategy).__mro__)
    return "jwt_access" if is_jwt else "fastapi_users"


async def _logout(original: Any, backend: Any, strategy: Any, user: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a logout"):
        wrap_method(type(strategy), "destroy_token", _destroy_token, library=str(library))
    with _looking() as seen:
        response = await original(backend, strategy, user, token, *args, **kwargs)
    with contained("a logout"):
        who = {"user.id": str(user.id), "user.name": _name(user)}
        if _is_cookie(backend):
            who["seclog.session.id_hash"] = session_hash(token)
            tell(Event(type=EventType.SESSION_LOGOUT, fields=accounts.present(who)))
        else:
            named = {**who, "seclog.token.id_hash": accounts.token_hash(token), "seclog.token.type": _kind(strategy)}
            tell(Event(type=EventType.SESSION_LOGOUT, fields=accounts.present(named)))
            if seen.is_destroyed:  # a JWT stays valid until it expires
                named["seclog.target.id"] = str(user.id)
                tell(Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="logout", fields=accounts.present(named)))
    return response


async def _destroy_token(original: Any, strategy: Any, *args: Any, **kwargs: Any) -> Any:
    result = await original(strategy, *args, **kwargs)
    seen = _seen.get()
    if seen is not None:
        seen.is_destroyed = True
    return result


# ── the user of a request, and refused tokens ─────────────────────────────────────────────────────────────────────


async def _identify(original: Any, authenticator: Any, *args: Any, **kwargs: Any) -> Any:
    with _looking() as seen:
        try:
            user, token = await original(authenticator, *args, **kwargs)
        except Exception as error:
            with contained("a refused user"):
                _tell_refusal(authenticator, seen, kwargs, getattr(error, "status_code", None))
            raise
    with contained("the user of a request"):
        if user is not None:
            api.bind_user(user.id, _name(user))
        else:  # optional; the token of the last backend is returned, not the one that was refused
            _tell_refusal(authenticator, seen, kwargs, None)
    return user, token


def _tell_refusal(authenticator: Any, seen: _Seen, kwargs: dict[str, Any], status: int | None) -> None:
    user = seen.user
    if user is not None and getattr(user, "is_active", True):
        api.bind_user(user.id, _name(user))
        scope = accounts.web_scope()
        if scope is not None and status == 403:
            scope.denied_permission = "superuser" if kwargs.get("superuser") else "verified"
        return
    if accounts.is_told(EventType.AUTHN_TOKEN_INVALID, EventType.AUTHN_TOKEN_EXPIRED):
        return
    variable = library.find("fastapi_users.authentication.authenticator.name_to_variable_name") or str
    for backend in authenticator.backends:
        name = variable(backend.name)
        token, strategy = kwargs.get(name), kwargs.get(f"strategy_{name}")
        if token is not None:
            kind, reason = (EventType.AUTHN_TOKEN_INVALID, "inactive") if user is not None else _fault(strategy, token)
            about = {"seclog.token.id_hash": accounts.token_hash(token), "seclog.token.type": _kind(strategy)}
            if user is not None:
                about |= {"user.id": str(user.id), "user.name": _name(user)}
            with attempt() as session_user:
                tell(Event(type=kind, reason=reason, fields=accounts.present({**about, **session_user})))
            return


def _fault(strategy: Any, token: str) -> tuple[EventType, str]:
    """Return why a token was refused: the library only says that it was."""
    if _kind(strategy) != "jwt_access":
        return EventType.AUTHN_TOKEN_INVALID, "unknown_token"
    import jwt

    try:
        options: Any = {"audience": strategy.token_audience, "algorithms": [strategy.algorithm]}
        secret = strategy.decode_key
        jwt.decode(token, getattr(secret, "get_secret_value", lambda: secret)(), **options)
    except jwt.ExpiredSignatureError:
        return EventType.AUTHN_TOKEN_EXPIRED, "expired"
    except jwt.InvalidSignatureError:
        return EventType.AUTHN_TOKEN_INVALID, "bad_signature"
    except jwt.InvalidAudienceError:
        return EventType.AUTHN_TOKEN_INVALID, "wrong_audience"
    except jwt.PyJWTError:
        return EventType.AUTHN_TOKEN_INVALID, "malformed"
    return EventType.AUTHN_TOKEN_INVALID, "unknown_user"


# ── passwords ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _forgot_password(original: Any, manager: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    with contained("a password reset"):
        reason = None if getattr(user, "is_active", True) else "inactive"
        accounts.reset_requested("", user.id, _name(user), reason)
    return await original(manager, user, *args, **kwargs)


async def _reset_password(original: Any, manager: Any, *args: Any, **kwargs: Any) -> Any:
    with _looking() as seen:
        seen.is_reset = True
        try:
            user = await original(manager, *args, **kwargs)
        except Exception as error:
            with contained("a refused password reset"):
                reason = _reset_fault(error)
                if reason is not None:
                    target = seen.user
                    about = {} if target is None else accounts.about_user(target.id, _name(target))
                    tell(Event(type=EventType.AUTHN_PASSWORD_RESET_FAIL, reason=reason, fields=about))
            raise
    with contained("a password reset"):
        # whoever holds the token acts as the user, no matter who else is logged in there
        fields = {**accounts.about_user(user.id, _name(user)), "user.id": str(user.id), "user.name": _name(user)}
        tell(Event(type=EventType.AUTHN_PASSWORD_RESET_COMPLETE, fields=accounts.present(fields)))
    return user


def _reset_fault(error: Exception) -> str | None:
    match type(error).__name__:
        case "InvalidResetPasswordToken":
            is_expired = type(error.__context__).__name__ == "ExpiredSignatureError"
            return "expired_link" if is_expired else "invalid_link"
        case "UserNotExists":
            return "unknown_user"
        case "UserInactive":
            return "inactive"
        case "InvalidPasswordException":
            return "weak_password"
    return None


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def _create(original: Any, manager: Any, user_create: Any, *args: Any, **kwargs: Any) -> Any:
    is_safe = kwargs.get("safe", args[0] if args else False)
    if is_safe:
        with contained("a registration"):
            _tell_extraneous(user_create, {"is_superuser": False, "is_active": True, "is_verified": False})
    with _looking():
        user = await original(manager, user_create, *args, **kwargs)
    with contained("a registration"):
        roles = ["superuser"] if getattr(user, "is_superuser", False) else []
        fields = {**accounts.about_user(user.id, _name(user)), "seclog.target.roles": roles}
        tell(Event(type=EventType.USER_CREATED, fields=fields))
    return user


async def _update_asked(original: Any, manager: Any, user_update: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    is_safe = kwargs.get("safe", args[0] if args else False)
    if is_safe:
        with contained("an account's update"):
            _tell_extraneous(user_update, {name: getattr(user, name, None) for name in _FLAGS})
    return await original(manager, user_update, user, *args, **kwargs)


def _tell_extraneous(sent: Any, now: dict[str, object]) -> None:
    """Tell flags that somebody sent to give power to themselves: they are dropped, and the answer is a success.

    Flags that are what they were are no attempt: clients send whole objects back.
    """
    wanted = [name for name in _FLAGS if name in sent.model_fields_set and getattr(sent, name) not in (None, now[name])]
    if wanted:
        fields: dict[str, object] = {"seclog.field": wanted[0], "seclog.fields": wanted}
        accounts.propose(Event(type=EventType.MALICIOUS_EXTRANEOUS, reason="privileged_field", fields=fields))


async def _update(original: Any, manager: Any, user: Any, update_dict: Any, *args: Any, **kwargs: Any) -> Any:
    before: dict[str, object] = {}
    is_reset = False
    with contained("an account before its update"):
        before = {name: getattr(user, name, None) for name in (*_FLAGS, "email")}
        seen = _seen.get()
        is_reset = seen is not None and seen.is_reset
    with _looking():
        try:
            updated = await original(manager, user, update_dict, *args, **kwargs)
        except Exception as error:
            with contained("a refused password"):
                if type(error).__name__ == "InvalidPasswordException" and not is_reset:
                    _tell_password(EventType.AUTHN_PASSWORD_CHANGE_FAIL, user, "weak_password")
            raise
    with contained("an account's update"):
        for name, old in before.items():
            new = getattr(updated, name, None)
            if old != new:
                tell(_changed(updated, name, old, new))
        if update_dict.get("password") is not None and not is_reset:
            _tell_password(EventType.AUTHN_PASSWORD_CHANGE, updated, None)
    return updated


def _tell_password(kind: EventType, user: Any, reason: str | None) -> None:
    fields = {"seclog.method": accounts.method_of(user.id), **accounts.about_user(user.id, _name(user))}
    fields["user.id"] = accounts.acting_user() or str(user.id)
    tell(Event(type=kind, reason=reason, fields=fields))


def _changed(user: Any, name: str, old: object, new: object) -> Event:
    about = accounts.about_user(user.id, _name(user))
    values = {"seclog.change.field": name, "seclog.change.old": old, "seclog.change.new": new}
    if name == "is_superuser":
        direction = {"seclog.change.direction": "grant" if new else "revoke"}
        return Event(type=EventType.AUTHZ_CHANGE, fields={**about, **direction, **values})
    if name == "is_active":
        return Event(type=EventType.USER_ENABLED if new else EventType.USER_ARCHIVED, fields=about)
    return Event(type=EventType.USER_UPDATED, fields={**about, **values})


async def _delete(original: Any, manager: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    about: dict[str, object] = {}
    with contained("an account before its end"):
        about = accounts.about_user(user.id, _name(user))
        about["seclog.target.roles"] = ["superuser"] if getattr(user, "is_superuser", False) else []
    result = await original(manager, user, *args, **kwargs)
    with contained("an account's end"):
        tell(Event(type=EventType.USER_DELETED, fields=about))
    return result
