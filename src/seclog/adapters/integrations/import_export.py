"""django-import-export: rows that leave and rows that come in, through the admin or the app's own code.

`Resource.export` and `Resource.import_data` are where all ways meet. A dry run, as the admin's preview, changes nothing
and is not told.

Tested with django-import-export 4.4.3.
"""

import inspect
from contextvars import ContextVar
from typing import Any, Final

from django.apps import apps

from seclog.adapters._hooks import contained, tell
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("django-import-export")
_format: ContextVar[str | None] = ContextVar("seclog_export_format", default=None)
_COUNTED: Final = ("new", "update", "delete", "skip", "error", "invalid")


def connect() -> None:
    """Wrap the two methods, and the admin's that knows the format."""
    if not apps.is_installed("import_export"):
        return
    library.wrap("import_export.resources.Resource.export", _export)
    library.wrap("import_export.resources.Resource.import_data", _import)
    library.wrap("import_export.admin.ExportMixin.get_export_data", _formatted)


def _formatted(original: Any, admin: Any, file_format: Any, *args: Any, **kwargs: Any) -> Any:
    name = None
    with contained("an export"):
        name = file_format.get_extension() or type(file_format).__name__.lower()
    token = _format.set(name)
    try:
        return original(admin, file_format, *args, **kwargs)
    finally:
        _format.reset(token)


def _export(original: Any, resource: Any, *args: Any, **kwargs: Any) -> Any:
    dataset = original(resource, *args, **kwargs)
    with contained("an export"):
        resolve_actor()
        fields = {"seclog.target.type": _name(resource), "seclog.count": len(dataset), "seclog.format": _format.get()}
        tell(Event(type=EventType.DATA_EXPORT, fields={k: v for k, v in fields.items() if v is not None}))
    return dataset


def _import(original: Any, resource: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(resource, *args, **kwargs)
    with contained("an import"):
        given = inspect.signature(original).bind(resource, *args, **kwargs).arguments
        if not given.get("dry_run"):
            _tell_import(resource, result)
    return result


def _tell_import(resource: Any, result: Any) -> None:
    resolve_actor()
    totals = {name: count for name in _COUNTED if (count := result.totals.get(name))}
    failed = result.has_errors() or result.has_validation_errors()
    fields: dict[str, object] = {
        "seclog.target.type": _name(resource),
        "seclog.count": sum(totals.get(name, 0) for name in ("new", "update", "delete")),
        "seclog.totals": totals,
    }
    event = Event(type=EventType.DATA_IMPORT, outcome="failure" if failed else "success", fields=fields)
    if failed:
        event.reason = "invalid_rows"
    tell(event)


def _name(resource: Any) -> str:
    model = getattr(resource._meta, "model", None)
    return model._meta.label if model is not None else type(resource).__qualname__
