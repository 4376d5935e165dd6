"""Flask-Admin: rows created, changed and deleted, actions on many of them, exports, and refused views.

`after_model_change` is often overridden without a call of the library's own; so what writes the row is wrapped, in
each of the backends that the app has loaded. Tested with Flask-Admin 2.2.1.
"""

import sys
from contextvars import ContextVar
from typing import Any, Final

from flask import Flask, request

from seclog.adapters._hooks import contained, tell
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("Flask-Admin")
_BACKENDS: Final = ("sqla", "mongoengine", "peewee", "pymongo")
_MAX_IDS: Final = 100

_inside: ContextVar[bool] = ContextVar("seclog_flask_admin_action", default=False)
"""Whether an action runs: the rows that it deletes are told with it, once."""
_count: ContextVar[list[int] | None] = ContextVar("seclog_flask_admin_export", default=None)


def connect(app: Flask) -> None:
    """Wrap the views' access check, the backends' writes, the actions and the exports."""
    library.wrap("flask_admin.base.BaseView._handle_view", _access)
    library.wrap("flask_admin.actions.ActionsMixin.handle_action", _action)
    library.wrap("flask_admin.model.base.BaseModelView._export_data", _export_data)
    library.wrap("flask_admin.model.base.BaseModelView._export_csv", _export_csv)
    library.wrap("flask_admin.model.base.BaseModelView._export_tablib", _export_tablib)
    for backend in _BACKENDS:
        if f"flask_admin.contrib.{backend}" in sys.modules:
            view = f"flask_admin.contrib.{backend}.ModelView"
            library.wrap(f"{view}.create_model", _create)
            library.wrap(f"{view}.update_model", _update)
            library.wrap(f"{view}.delete_model", _delete)


def _access(original: Any, view: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        answer = original(view, name, *args, **kwargs)
    except Exception:
        with contained("a refused admin view"):
            _deny(view, name)
        raise
    with contained("a refused admin view"):
        if answer is not None:
            _deny(view, name)
    return answer


def _deny(view: Any, name: Any) -> None:
    kind = type(view)
    fields: dict[str, object] = {"seclog.view": f"{kind.__module__}.{kind.__qualname__}.{name}"}
    if accounts.acting_user() is None:
        accounts.propose(Event(type=EventType.AUTHZ_UNAUTHENTICATED, reason="login_required", fields=fields))
    else:
        accounts.propose(Event(type=EventType.AUTHZ_FAIL, reason="permission_denied", fields=fields))


# ── one row ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _model(view: Any) -> str:
    return str(getattr(view.model, "__name__", view.model))


def _tell(view: Any, action: str, key: object, is_done: bool, **more: object) -> None:
    fields: dict[str, object] = {
        "seclog.action": action,
        "seclog.target.type": _model(view),
        "seclog.target.id": None if key is None else str(key),
        "seclog.count": 1,
        **more,
    }
    outcome = "success" if is_done else "failure"
    tell(Event(type=EventType.AUTHZ_ADMIN, outcome=outcome, fields=accounts.present(fields)))


def _create(original: Any, view: Any, form: Any, *args: Any, **kwargs: Any) -> Any:
    model = original(view, form, *args, **kwargs)
    with contained("a row created in the admin"):
        _tell(view, "create", view.get_pk_value(model) if model else None, bool(model))
    return model


def _update(original: Any, view: Any, form: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    before: dict[str, Any] = {}
    key: object = None
    with contained("a row before its change in the admin"):
        key = view.get_pk_value(model)
        before = {name: _plain(getattr(model, name)) for name in form._fields if hasattr(model, name)}
    is_done = original(view, form, model, *args, **kwargs)
    with contained("a row changed in the admin"):
        changed = [n for n, old in before.items() if old != _plain(getattr(model, n))] if is_done else []
        _tell(view, "change", key, bool(is_done), **({"seclog.change.field": changed} if changed else {}))
    return is_done


def _plain(value: Any) -> Any:
    """Return a value that a later change of the row does not change."""
    return list(value) if isinstance(value, list) else value


def _delete(original: Any, view: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    key: object = None
    with contained("a row before its end in the admin"):
        key = view.get_pk_value(model)
    is_done = original(view, model, *args, **kwargs)
    with contained("a row deleted in the admin"):
        if not _inside.get():
            _tell(view, "delete", key, bool(is_done))
    return is_done


# ── many rows ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _action(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    name, ids = "", []
    with contained("an admin action"):
        name, ids = str(request.form.get("action", "")), request.form.getlist("rowid")
        if name not in view._actions_data or not view.is_action_allowed(name):
            name = ""  # the library will ignore it
    token = _inside.set(True)
    try:
        response = original(view, *args, **kwargs)
    except Exception as error:
        with contained("an admin action"):
            _tell_action(view, name, ids, type(error).__name__)
        raise
    finally:
        _inside.reset(token)
    with contained("an admin action"):
        _tell_action(view, name, ids, None)
    return response


def _tell_action(view: Any, name: str, ids: list[str], error: str | None) -> None:
    if not name:
        return
    few = ids[:_MAX_IDS]
    fields: dict[str, object] = {
        "seclog.action": name,
        "seclog.target.type": _model(view) if hasattr(view, "model") else type(view).__name__,
        "seclog.target.id": few[0] if len(few) == 1 else few,
        "seclog.count": len(ids),
        "error.type": error,
    }
    outcome = "success" if error is None else "failure"
    tell(Event(type=EventType.AUTHZ_ADMIN, outcome=outcome, fields=accounts.present(fields)))


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _export_data(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    found = original(view, *args, **kwargs)
    box = _count.get()
    if box is not None and isinstance(found, tuple) and isinstance(found[0], int):
        box.append(found[0])
    return found


def _export_csv(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    return _export(original, view, "csv", args, kwargs)


def _export_tablib(original: Any, view: Any, *args: Any, **kwargs: Any) -> Any:
    kind = args[0] if args else kwargs.get("export_type", "")
    return _export(original, view, str(kind), args, kwargs)


def _export(original: Any, view: Any, kind: str, args: Any, kwargs: Any) -> Any:
    box: list[int] = []
    token = _count.set(box)
    try:
        response = original(view, *args, **kwargs)
    finally:
        _count.reset(token)
    with contained("an export from the admin"):
        if response.status_code < 300:
            fields = {
                "seclog.target.type": _model(view),
                "seclog.count": box[0] if box else None,
                "seclog.format": kind,
            }
            tell(Event(type=EventType.DATA_EXPORT, fields=accounts.present(fields)))
    return response
