"""django-waffle: flags, switches and samples, old → new; also for whom a flag is on.

Tested with django-waffle 5.0.0.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.apps import apps
from django.db.models.signals import m2m_changed

from seclog.adapters._hooks import safely
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.django.model_changes import Change, Row, observe, tell_after_commit
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("django-waffle")
_MODELS: Final = ("get_waffle_flag_model", "get_waffle_switch_model", "get_waffle_sample_model")
_BY_ITSELF: Final = frozenset({"created", "modified"})


def connect() -> None:
    """Observe the three models, the project's own in their place included, and whom a flag names."""
    if not apps.is_installed("waffle"):
        return
    for name in _MODELS:
        get_model = library.find(f"waffle.{name}")
        if get_model is None:
            continue
        model = get_model()
        observe(model, "waffle", _Toggles(model))
        for field in model._meta.many_to_many:
            m2m_changed.connect(_links_changed, sender=field.remote_field.through, dispatch_uid="seclog.waffle")


class _Toggles:
    """Makes events of rows of one model."""

    def __init__(self, model: Any) -> None:
        self._label = model._meta.label
        concrete = model._meta.concrete_fields
        self.fields = tuple(f for f in concrete if not f.primary_key and f.name not in _BY_ITSELF)
        self.title = model._meta.get_field("name")

    def created(self, row: Row) -> Iterator[Event]:
        """Tell of a new one, with its values."""
        yield event(self._label, "create", row.values.get("name"), {"seclog.change.new": dict(row.values), **row.about})

    def changed(self, row: Row, changes: list[Change]) -> Iterable[Event]:
        """Tell each changed field."""
        for change in changes:
            values = {
                "seclog.change.field": change.field,
                "seclog.change.old": change.old,
                "seclog.change.new": change.new,
            }
            yield event(self._label, "change", row.values.get("name"), {**values, **row.about})

    def deleted(self, row: Row) -> Iterator[Event]:
        """Tell of its end, with its last values."""
        yield event(self._label, "delete", row.values.get("name"), {"seclog.change.old": dict(row.values), **row.about})


def event(label: str, action: str, name: object, fields: dict[str, object]) -> Event:
    """Return the event of a changed flag, switch or sample."""
    target = {"seclog.action": action, "seclog.target.type": label, "seclog.target.name": name}
    return Event(type=EventType.CONFIG_CHANGED, fields={**target, **fields})


@safely
def _links_changed(
    sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any, using: str, **kwargs: Any
) -> None:
    if action not in {"post_add", "post_remove", "post_clear"} or (action != "post_clear" and not pk_set):
        return
    from waffle import get_waffle_flag_model

    if not isinstance(instance, get_waffle_flag_model()):
        return  # from the user's side, as nobody does
    field = next(f for f in instance._meta.many_to_many if f.remote_field.through is sender)
    keys = sorted(map(str, pk_set or ()))
    values: dict[str, object] = {
        "seclog.change.field": field.name,
        "seclog.change.old": "*" if action == "post_clear" else keys if action == "post_remove" else [],
        "seclog.change.new": keys if action == "post_add" else [],
        "seclog.target.id": str(instance.pk),
    }
    resolve_actor()
    tell_after_commit(using, [event(instance._meta.label, "change", instance.name, values)])
