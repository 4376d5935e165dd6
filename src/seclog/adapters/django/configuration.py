"""Family 9: configuration in the database, row by row, and the project's settings, start by start.

Models named in `SECLOG["watch_models"]` are observed: one entry a changed field, one a created or deleted
row. Values of fields that are named like a secret are masked by the redactor, which knows the field by
`seclog.change.field`. The settings are compared by `settings_fingerprint`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps

from seclog import api
from seclog.adapters.django.model_changes import Change, Row, forget, observe
from seclog.adapters.django.settings_fingerprint import compare_settings
from seclog.events import Event, EventType
from seclog.settings import Settings

__all__ = ["compare_settings", "connect", "unknown_models"]


def connect() -> None:
    """Observe the models that the settings name. An unknown one is left to `manage.py check`."""
    installation = api.installed()
    forget("configuration")
    if installation is None:
        return
    for label, names in installation.settings.watch_models.items():
        model = _model(label)
        if model is not None:
            watch(model, names)


def watch(model: Any, names: tuple[str, ...] = ()) -> None:
    """Observe a model whose rows configure the app; without names of fields, all that do not change by themselves."""
    observe(model, "configuration", _Configuration(model, names))


def unknown_models(settings: Settings) -> list[str]:
    """Return what `watch_models` names and the project lacks: models, and fields as "app.Model.field"."""
    unknown: list[str] = []
    for label, names in settings.watch_models.items():
        model = _model(label)
        if model is None:
            unknown.append(label)
        else:
            known = {name for f in model._meta.concrete_fields for name in (f.name, f.attname)}
            unknown += [f"{label}.{name}" for name in names if name not in known]
    return unknown


def _model(label: str) -> Any:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


class _Configuration:
    """Makes events of rows that configure the app."""

    title = None

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        self._label = model._meta.label
        self.fields = tuple(
            f
            for f in model._meta.concrete_fields
            if ((f.name in names or f.attname in names) if names else _is_told(f))
        )

    def created(self, row: Row) -> Iterator[Event]:
        """Tell of a new row, with its values."""
        yield self._event("create", row, {"seclog.change.new": dict(row.values)})

    def changed(self, row: Row, changes: list[Change]) -> Iterable[Event]:
        """Tell each changed field."""
        for change in changes:
            values = {
                "seclog.change.field": change.field,
                "seclog.change.old": change.old,
                "seclog.change.new": change.new,
            }
            yield self._event("change", row, values, f".{change.field}")

    def deleted(self, row: Row) -> Iterator[Event]:
        """Tell of a row's end, with its last values."""
        yield self._event("delete", row, {"seclog.change.old": dict(row.values)})

    def _event(self, action: str, row: Row, values: dict[str, object], suffix: str = "") -> Event:
        target = {
            "seclog.action": action,
            "seclog.target.type": self._label,
            "seclog.target.name": self._label + suffix,
        }
        return Event(type=EventType.CONFIG_CHANGED, fields={**target, **row.about, **values})


def _is_told(field: Any) -> bool:
    """Leave out what changes by itself: the key, "last modified" and what the database computes."""
    by_itself = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return not (field.primary_key or by_itself or getattr(field, "generated", False))
