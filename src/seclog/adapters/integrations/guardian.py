"""django-guardian: permissions on single objects, granted to and taken from users and groups.

The single forms send signals of the model, the forms for many use `bulk_create`, which sends none.

Tested with django-guardian 3.5.2.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models.signals import post_save, pre_delete

from seclog.adapters._hooks import safely
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.django.model_changes import MAX_ROWS, doubtful, listen_to_bulk_create, tell_after_commit
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("django-guardian")


def connect() -> None:
    """Listen to every model of object permissions, the project's own included."""
    if not apps.is_installed("guardian"):
        return
    base = library.find("guardian.models.models.BaseObjectPermission")
    if base is None:
        return
    for model in apps.get_models():
        if issubclass(model, base):
            post_save.connect(_saved, sender=model, dispatch_uid="seclog.guardian")
            pre_delete.connect(_deleted, sender=model, dispatch_uid="seclog.guardian")
            listen_to_bulk_create(model, _created)


@safely
def _saved(sender: Any, instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if created and not raw:
        tell_after_commit(using, _events(sender, [instance], using, granted=True))


@safely
def _deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Told from before the delete, while the other permissions are there to be read; Django is in a transaction."""
    tell_after_commit(using, _events(sender, [instance], using, granted=False))


def _created(model: Any, created: list[Any], using: str, unsure: str | None) -> None:
    events = [doubtful(event, unsure) for event in _events(model, created[:MAX_ROWS], using, granted=True)]
    if len(created) > MAX_ROWS:
        fields = {"seclog.change.direction": "grant", "seclog.count": len(created) - MAX_ROWS}
        events.append(Event(type=EventType.PRIVILEGE_PERMISSIONS_CHANGED, fields=fields))
    tell_after_commit(using, events)


def _events(model: Any, rows: list[Any], using: str, *, granted: bool) -> Iterator[Event]:
    """Make one event a row: the object, who holds what on it, and all they hold there, old → new."""
    resolve_actor()
    held = _held(model, rows, using)
    for row in rows:
        name = _permission(row.permission)
        others = sorted(held.get(_place(row), set()) - {name})
        both = sorted({*others, name})
        kind, grantee = _grantee(row)
        fields: dict[str, object] = {
            **_about(row),
            "seclog.grantee.type": kind,
            "seclog.grantee.id": str(grantee.pk),
            "seclog.grantee.name": grantee.get_username() if kind == "user" else str(grantee),
            "seclog.change.field": "object_permissions",
            "seclog.change.direction": "grant" if granted else "revoke",
            "seclog.change.old": others if granted else both,
            "seclog.change.new": both if granted else others,
            "seclog.change.added" if granted else "seclog.change.removed": [name],
        }
        yield Event(type=EventType.PRIVILEGE_PERMISSIONS_CHANGED, fields=fields)


def _held(model: Any, rows: list[Any], using: str) -> dict[tuple[object, str], set[str]]:
    """Read with one query what the grantees of these rows hold on these objects."""
    grantee = "user_id" if _has(model, "user") else "group_id"
    place = "object_pk" if _has(model, "object_pk") else "content_object_id"
    conditions = {
        f"{grantee}__in": {getattr(row, grantee) for row in rows},
        f"{place}__in": {getattr(row, place) for row in rows},
        "permission__content_type__in": {row.permission.content_type_id for row in rows},
    }
    found: dict[tuple[object, str], set[str]] = {}
    names = ("permission__content_type__app_label", "permission__codename")
    rows_held = model._base_manager.using(using).filter(**conditions).values_list(grantee, place, *names)
    for holder, key, app, codename in rows_held[: MAX_ROWS * 10]:
        found.setdefault((holder, str(key)), set()).add(f"{app}.{codename}")
    return found


def _place(row: Any) -> tuple[object, str]:
    holder = row.user_id if _has(type(row), "user") else row.group_id
    return holder, str(row.object_pk if _has(type(row), "object_pk") else row.content_object_id)


def _grantee(row: Any) -> tuple[str, Any]:
    kind = "user" if _has(type(row), "user") else "group"
    return kind, getattr(row, kind)


def _about(row: Any) -> dict[str, object]:
    content_type = row.permission.content_type
    model = content_type.model_class()
    label = model._meta.label if model is not None else f"{content_type.app_label}.{content_type.model}"
    return {"seclog.target.type": label, "seclog.target.id": _place(row)[1]}


def _permission(permission: Any) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def _has(model: Any, name: str) -> bool:
    return any(f.name == name for f in model._meta.concrete_fields)
