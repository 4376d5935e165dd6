"""sqladmin: logins to the admin, rows created, changed and deleted, exports.

The admin's login is the app's own class: what it answers is looked at, in each class that is there when the app
starts. The anonymous are led to the login by a redirect, which the adapter tells. Actions (`@action`) are routes of
their own, bound before we come: `seclog.admin_action` decorates them. Tested with sqladmin 0.32.0.
"""

from collections.abc import Iterator
from typing import Any, Final

from seclog import api
from seclog.adapters._hooks import contained, tell, wrap_method
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("sqladmin")
_VIEW: Final = "sqladmin.models.ModelView"
_NAMES: Final = ("username", "email", "login")


def connect(app: Any = None) -> None:
    """Wrap the writes and exports of all model views, and the logins of the app's authentication classes."""
    library.wrap(f"{_VIEW}.insert_model", _insert)
    library.wrap(f"{_VIEW}.update_model", _update)
    library.wrap(f"{_VIEW}.delete_model", _delete)
    library.wrap(f"{_VIEW}.export_data", _export)
    backend = library.find("sqladmin.authentication.AuthenticationBackend")
    for kind in _below(backend) if backend is not None else ():
        if "login" in vars(kind):
            wrap_method(kind, "login", _login, library=str(library))


def _below(kind: Any) -> Iterator[Any]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


# ── login ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _login(original: Any, backend: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    answer = await original(backend, request, *args, **kwargs)
    with contained("a login to the admin"):
        status = getattr(answer, "status_code", None)
        typed = _typed(request)
        if (bool(answer) if status is None else status < 400) and not accounts.is_told(EventType.AUTHN_LOGIN_SUCCESS):
            user = request.session.get("user_id") if "session" in request.scope else None
            accounts.login_succeeded(user if user is not None else typed, typed or None, "password")
        elif not answer and not accounts.is_told(EventType.AUTHN_LOGIN_FAIL):
            api.login_failed(typed, "invalid_credentials", known=False, auth_method="password")
    return answer


def _typed(request: Any) -> str:
    """Return the name in the form, if the app has read it; reading it here would take the body from the app."""
    form = getattr(request, "_form", None) or {}
    return next((value for name in _NAMES if isinstance(value := form.get(name), str)), "")


# ── rows and exports ──────────────────────────────────────────────────────────────────────────────────────────────


def _bind(request: Any) -> None:
    """Name who acts, as the library has found out for this request."""
    user = getattr(getattr(request, "state", None), "sqladmin_user_id", None)
    if user is not None and accounts.acting_user() is None:
        api.bind_user(user)


def _tell(view: Any, request: Any, action: str, key: object, error: Exception | None, **more: object) -> None:
    _bind(request)
    fields: dict[str, object] = {
        "seclog.action": action,
        "seclog.target.type": view.model.__name__,
        "seclog.target.id": None if key is None else str(key),
        "seclog.count": 1,
        "error.type": None if error is None else type(error).__name__,
        **more,
    }
    outcome = "success" if error is None else "failure"
    tell(Event(type=EventType.AUTHZ_ADMIN, outcome=outcome, fields=accounts.present(fields)))


async def _insert(original: Any, view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        row = await original(view, request, *args, **kwargs)
    except Exception as error:
        with contained("a row created in the admin"):
            _tell(view, request, "create", None, error)
        raise
    with contained("a row created in the admin"):
        _tell(view, request, "create", _key(row), None)
    return row


def _key(row: Any) -> str | None:
    """Return a row's key without reading: a commit may have expired it."""
    identity = getattr(getattr(row, "_sa_instance_state", None), "identity", None)
    return ",".join(map(str, identity)) if identity else None


async def _update(original: Any, view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    key = args[0] if args else kwargs.get("pk")
    try:
        row = await original(view, request, *args, **kwargs)
    except Exception as error:
        with contained("a row changed in the admin"):
            _tell(view, request, "change", key, error)
        raise
    with contained("a row changed in the admin"):
        _tell(view, request, "change", key, None)
    return row


async def _delete(original: Any, view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    key = args[0] if args else kwargs.get("pk")
    try:
        result = await original(view, request, *args, **kwargs)
    except Exception as error:
        with contained("a row deleted in the admin"):
            _tell(view, request, "delete", key, error)
        raise
    with contained("a row deleted in the admin"):
        _tell(view, request, "delete", key, None)
    return result


async def _export(original: Any, view: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
    response = await original(view, data, *args, **kwargs)
    with contained("an export from the admin"):
        kind = args[0] if args else kwargs.get("export_type", "csv")
        _bind(kwargs.get("request") or (args[1] if len(args) > 1 else None))
        fields: dict[str, object] = {
            "seclog.target.type": view.model.__name__,
            "seclog.count": len(data) if hasattr(data, "__len__") else None,
            "seclog.format": str(kind),
        }
        tell(Event(type=EventType.DATA_EXPORT, fields=accounts.present(fields)))
    return response
