"""Family 10: what is done in Django's admin: objects added, changed and deleted, and actions run on many of
them.

`LogEntryManager.log_actions` sees the bulk deletions that `post_save(LogEntry)` misses; actions write no log
entry of their own, so `ModelAdmin.response_action` tells them. `delete_selected` passes both ways and is told
once, by the first.
"""

import inspect
import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router

from seclog.adapters._hooks import contained, tell, wrap_method
from seclog.adapters.django.model_changes import after_commit, tell_after_commit
from seclog.context import current
from seclog.events import Event, EventType

MAX_IDS: Final = 100
_ACTIONS: Final = {1: "create", 2: "change", 3: "delete"}
_logged: ContextVar[list[Any] | None] = ContextVar("seclog_admin_logged", default=None)
"""The log entries written inside the running admin action, or inside `log_actions`; None outside of both."""


def connect() -> None:
    """Wrap the log and the actions, if the project has the admin."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.models import LogEntryManager
    from django.contrib.admin.options import ModelAdmin

    wrap_method(LogEntryManager, "log_actions", _log_actions, library="Django")
    if hasattr(LogEntryManager, "log_action"):  # Django 5.2: deprecated there, and much used by others
        wrap_method(LogEntryManager, "log_action", _log_actions, library="Django")
    wrap_method(ModelAdmin, "response_action", _response_action, library="Django")


# ── log entries ─────────────────────────────────────────────────────────────────────────────────────────────

_in_log: ContextVar[bool] = ContextVar("seclog_in_admin_log", default=False)


def _log_actions(original: Callable[..., Any], manager: Any, *args: Any, **kwargs: Any) -> Any:
    if _in_log.get():  # an app's own `log_action`, called by `log_actions`
        return original(manager, *args, **kwargs)
    token = _in_log.set(True)
    try:
        written = original(manager, *args, **kwargs)
    finally:
        _in_log.reset(token)
    with contained("the admin's log"):
        entries = list(written) if isinstance(written, list | tuple) else [written] if written is not None else []
        if entries:
            inside = _logged.get()
            if inside is not None:
                inside.extend(entries)
            event = _logged_event(entries, _user_names(original, manager, args, kwargs))
            tell_after_commit(entries[0]._state.db or manager.db, [event])
    return written


def _user_names(original: Callable[..., Any], manager: Any, args: Any, kwargs: Any) -> dict[str, str]:
    """Return the login names of the users among the logged objects; the log has only what they print as."""
    objects = inspect.signature(original).bind(manager, *args, **kwargs).arguments.get("queryset", ())
    return {str(user.pk): user.get_username() for user in objects if isinstance(user, get_user_model())}


def _logged_event(entries: list[Any], user_names: dict[str, str]) -> Event:
    first = entries[0]
    model = _model_of(first)
    ids = [str(entry.object_id) for entry in entries[:MAX_IDS]]
    fields: dict[str, object] = {
        "seclog.action": _ACTIONS.get(first.action_flag, str(first.action_flag)),
        "seclog.target.type": model._meta.label if model is not None else None,
        "seclog.target.id": ids[0] if len(entries) == 1 else ids,
        "seclog.count": len(entries),
    }
    if model is not None and issubclass(model, get_user_model()):
        names = [user_names.get(str(entry.object_id), entry.object_repr) for entry in entries[:MAX_IDS]]
        fields["seclog.target.name"] = names[0] if len(entries) == 1 else names
    changed = _changed_fields(first.change_message)
    if changed:
        fields["seclog.change.field"] = changed
    if current() is None:
        fields["user.id"] = str(first.user_id)
    return Event(type=EventType.AUTHZ_ADMIN, fields=fields)


def _model_of(entry: Any) -> Any:
    from django.contrib.contenttypes.models import ContentType

    if entry.content_type_id is None:
        return None
    return ContentType.objects.get_for_id(entry.content_type_id).model_class()


def _changed_fields(message: str) -> list[str]:
    """Return the field names in a structured change message; an app's own free text is left alone."""
    try:
        parts = json.loads(message)
    except (ValueError, TypeError):
        return []
    names: list[str] = []
    for part in parts if isinstance(parts, list) else ():
        for verb in part.values() if isinstance(part, dict) else ():
            if isinstance(verb, dict):
                inline = f"{verb['name']}." if "object" in verb and "name" in verb else ""
                names += [f"{inline}{name}" for name in verb.get("fields", ())]
    return list(dict.fromkeys(names))[:MAX_IDS]


# ── actions ─────────────────────────────────────────────────────────────────────────────────────────────────


def _response_action(
    original: Callable[..., Any], admin: Any, request: Any, queryset: Any, *args: Any, **kwargs: Any
) -> Any:
    fields: dict[str, object] = {}
    with contained("an admin action"):
        fields = _chosen(admin, request, queryset)
    inside: list[Any] = []
    token = _logged.set(inside)
    try:
        response = original(admin, request, queryset, *args, **kwargs)
    except Exception as error:
        with contained("an admin action"):
            if fields:
                fields["error.type"] = type(error).__name__
                tell(Event(type=EventType.AUTHZ_ADMIN, outcome="failure", fields=fields))
        raise
    finally:
        _logged.reset(token)
    with contained("an admin action"):
        if response is not None and fields and not _is_told_by_log(fields, request, inside):
            outcome = "success" if response.status_code < 400 else "failure"
            event = Event(type=EventType.AUTHZ_ADMIN, outcome=outcome, fields=fields)
            after_commit(router.db_for_write(admin.model), lambda: tell(event))
    return response


def _chosen(admin: Any, request: Any, queryset: Any) -> dict[str, object]:
    """Return what was chosen in the form: the action and the rows. No query, unless all rows are meant."""
    from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

    post = request.POST
    everything = post.get("select_across") not in {None, "", "0", "False", "false"}
    ids = post.getlist(ACTION_CHECKBOX_NAME)
    name = _action_name(post)
    if name is None or not (ids or everything):
        return {}  # Django will refuse it
    fields: dict[str, object] = {"seclog.action": name, "seclog.target.type": admin.model._meta.label}
    if everything:
        return {**fields, "seclog.target.id": "*", "seclog.count": queryset.count()}
    few = [str(key) for key in ids[:MAX_IDS]]
    return {**fields, "seclog.target.id": few[0] if len(ids) == 1 else few, "seclog.count": len(ids)}


def _action_name(post: Any) -> str | None:
    """Return the chosen action. A change list has two choosers; the change form (Django 6.1) has one."""
    names = post.getlist("action") or post.getlist("CHANGE_FORM-action")
    try:
        index = int(post.get("index", 0))
    except ValueError:
        index = 0
    return str(names[index]) if 0 <= index < len(names) and names[index] else None


def _is_told_by_log(fields: dict[str, object], request: Any, inside: list[Any]) -> bool:
    """`delete_selected` logs what it deletes; without the confirmation it only asks."""
    return fields["seclog.action"] == "delete_selected" and bool(inside or not request.POST.get("post"))
