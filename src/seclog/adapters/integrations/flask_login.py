"""Flask-Login: logins, logouts, remembered users, refused ones, and who acts in a request.

The library knows no failed login: the app looks at the password itself, and `seclog.adapters.flask.login` recognises
what came of it. What the library does refuse silently is an inactive user (`login_user` returns False); the function
is imported by name everywhere, so it is replaced in every module that has it. A logout of nobody is no event.

Where Flask-Security is on the app, it tells of logins, more precisely. Tested with Flask-Login 0.6.3.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, g, has_app_context

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.flask import request as requests
from seclog.adapters.flask import sessions
from seclog.adapters.flask.request import RequestScope
from seclog.adapters.flask.users import session_id
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.context.scope import Context
from seclog.events import Event, EventType

library = Library("Flask-Login")
_NAMES: Final = ("username", "user_name", "email", "login", "name")


def connect(app: Flask) -> None:
    """Listen to the library's signals on an app, and say who acts in its requests."""
    if getattr(app, "login_manager", None) is None:
        return
    for name, receiver in (
        ("user_logged_in", _logged_in),
        ("user_logged_out", _logged_out),
        ("user_loaded_from_cookie", _remembered),
        ("user_unauthorized", _unauthorized),
        ("user_needs_refresh", _needs_refresh),
        ("session_protected", _session_protected),
    ):
        signal = library.find(f"flask_login.signals.{name}")
        if signal is not None:
            signal.connect(receiver, app)
    if _facts not in requests.more_facts:
        requests.more_facts.append(_facts)
    _wrap_everywhere()


def _wrap_everywhere() -> None:
    utils = library.find("flask_login.utils")
    original = getattr(utils, "login_user", None)
    if utils is None or not wrap_method(utils, "login_user", _login_user, library=str(library)):
        return
    original = getattr(original, "__wrapped__", original)
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if type(names) is dict and names.get("login_user") is original:
            names["login_user"] = utils.login_user


# ── who a user is ─────────────────────────────────────────────────────────────────────────────────────────────────


def identity(user: Any) -> tuple[str | None, str | None]:
    """Return id and name of a user object. Nothing is read from a database: a commit may have expired the object.

    Flask-Security's `get_id()` is what makes sessions valid, and no name to write down: the row's key is.
    """
    values = getattr(user, "__dict__", {})
    state = values.get("_sa_instance_state")
    if state is not None:
        key = ",".join(map(str, state.identity)) if state.identity else values.get("id")
        name = next((value for n in _NAMES if isinstance(value := values.get(n), str) and value), None)
        return None if key is None else str(key), name
    is_security = hasattr(user, "fs_uniquifier")
    key = getattr(user, "id", None) if is_security else user.get_id()
    name = next((value for n in _NAMES if isinstance(value := getattr(user, n, None), str) and value), None)
    return None if key is None else str(key), name


def is_somebody(user: Any) -> bool:
    """Tell whether a user object is not the anonymous one. A mapped row is not asked: its answer may be a column."""
    if user is None or "_sa_instance_state" in getattr(user, "__dict__", {}):
        return user is not None
    return bool(getattr(user, "is_authenticated", False))


def _facts(context: Context, scope: RequestScope) -> None:
    """Name the acting user, if the library has loaded one already.

    Flask-Security keeps in the session what makes it valid: that is no id to write, so the user stays unnamed then.
    """
    session = scope.session
    kept = session.get("_user_id") if session else None
    if context.user_id is not None and context.user_id != kept:
        return  # bound by somebody who knows
    user = g.get("_login_user") if has_app_context() else None
    if is_somebody(user):
        context.user_id, name = identity(user)
        context.user_name = name or context.user_name
    elif "security" in scope.app.extensions:
        context.user_id = None


def session_before(scope: RequestScope) -> Mapping[str, Any]:
    """Return what was in the session when the request came."""
    before: Any = getattr(sessions, "_before", None)
    return before(scope)[0] if before is not None else {}


# ── login and logout ──────────────────────────────────────────────────────────────────────────────────────────────


def _login_user(original: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    is_in = original(user, *args, **kwargs)
    if is_in is False:
        with contained("a refused login"):
            key, name = identity(user)
            if not accounts.is_told(EventType.AUTHN_LOGIN_FAIL):
                api.login_failed(name or key, "inactive", user_id=key, auth_method="password")
    return is_in


@safely
def _logged_in(sender: Any, user: Any = None, **kwargs: Any) -> None:
    if user is None or "security" in sender.extensions:
        return
    key, name = identity(user)
    accounts.login_succeeded(key, name, "password", **device())


def device() -> dict[str, object]:
    """Return what the watch needs to recognise the device later."""
    scope = requests.of()
    language = None if scope is None else scope.environ.get("HTTP_ACCEPT_LANGUAGE")
    return {"seclog.device.accept_language": language[:128]} if language else {}


@safely
def _remembered(sender: Any, user: Any = None, **kwargs: Any) -> None:
    if user is not None:
        key, name = identity(user)
        accounts.login_succeeded(key, name, "remember_cookie", **device())


@safely
def _logged_out(sender: Any, user: Any = None, **kwargs: Any) -> None:
    if not is_somebody(user) or accounts.is_told(EventType.SESSION_LOGOUT):
        return
    key, name = identity(user)
    scope = requests.of()
    hashed = None if scope is None else session_id(scope.app, session_before(scope))
    fields = {"user.id": key, "user.name": name, "seclog.session.id_hash": hashed}
    tell(Event(type=EventType.SESSION_LOGOUT, fields=accounts.present(fields)))


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _unauthorized(sender: Any, **kwargs: Any) -> None:
    _propose("login_required")


@safely
def _needs_refresh(sender: Any, **kwargs: Any) -> None:
    _propose("fresh_login_required")


def _propose(reason: str) -> None:
    scope = requests.of()
    fields = {} if scope is None or scope.view is None else {"seclog.view": scope.view}
    accounts.propose(Event(type=EventType.AUTHZ_UNAUTHENTICATED, reason=reason, fields=dict(fields)))


@safely
def _session_protected(sender: Any, **kwargs: Any) -> None:
    """The session came from another address or another browser than it was made with. Whose it was stands in it.

    The library sends this also for the session of nobody, which has a CSRF token in it, but no device.
    """
    scope = requests.of()
    before = {} if scope is None else session_before(scope)
    if scope is not None and "_id" in before:
        fields = {"seclog.session.id_hash": session_id(scope.app, before)}
        if "security" not in sender.extensions:
            fields["user.id"] = before.get("_user_id")
        tell(
            Event(type=EventType.SESSION_HIJACK_SUSPECTED, reason="session_protection", fields=accounts.present(fields))
        )
