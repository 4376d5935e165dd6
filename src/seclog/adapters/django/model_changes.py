"""What a save, an update or a delete changes in the rows of a watched model: old → new, told after the
commit.

Who acts is looked up before a change is written: after it, Django may not let in whoever changed their own account,
and ends the session of whoever changed their own password.

In: `observe(model, name, observer)`. Out: the events that the observer makes of created, changed and deleted
rows.

The old values are read from the database before the save (a snapshot at load time fails on deferred fields),
with one query, and only when the save can touch a watched field: `save(update_fields=["last_login"])` costs
nothing. Models that nobody observes pay one dictionary look-up in `update()` and `bulk_create()`, and nothing
elsewhere.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from django.apps import apps
from django.db import connections, transaction
from django.db.models import Field, Model, QuerySet
from django.db.models.signals import post_save, pre_delete, pre_save

from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.django.actors import resolve_actor
from seclog.context import current, enter, leave
from seclog.events import Event

MAX_ROWS: Final = 500
"""Rows of one bulk operation that are told one by one; the rest as a number. (SQLite: 999 parameters.)"""


class Change(NamedTuple):
    """One field of one row."""

    field: str
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Row:
    """A row as far as it is known: values by field name. Without a key it stands for `count` further rows."""

    key: object
    values: Mapping[str, object] = field(default_factory=dict)
    count: int = 1

    @property
    def about(self) -> dict[str, object]:
        """Return what identifies the row in an entry."""
        if self.key is not None:
            return {"seclog.target.id": str(self.key)}
        return {"seclog.count": self.count} if self.count > 1 else {}


BulkListener = Callable[[type[Model], list[Any], str, str | None], None]
"""Called with model, new instances, database alias, and the option that makes it unsure which are new."""


class Observer(Protocol):
    """Makes events of what happened to rows of one model."""

    fields: tuple[Any, ...]
    """The model's fields that count as a change."""
    title: Any
    """The field that names a row, read along with the others; or None."""

    def created(self, row: Row) -> Iterable[Event]:
        """Tell that a row was created."""

    def changed(self, row: Row, changes: list[Change]) -> Iterable[Event]:
        """Tell that fields of a row changed."""

    def deleted(self, row: Row) -> Iterable[Event]:
        """Tell that a row is deleted."""


_observers: dict[type[Model], dict[str, Observer]] = {}
_bulk_listeners: dict[type[Model], BulkListener] = {}


def observe(model: type[Model], name: str, observer: Observer) -> None:
    """Observe a model's rows; proxies and child models as well. The same name again replaces the observer."""
    for kind in apps.get_models():
        if not issubclass(kind, model):
            continue
        _observers.setdefault(kind, {})[name] = observer
        listen_to_bulk_create(kind, _tell_bulk_create)
        pre_save.connect(_before_save, sender=kind, dispatch_uid="seclog.rows")
        post_save.connect(_after_save, sender=kind, dispatch_uid="seclog.rows")
        if (
            kind._meta.concrete_model is model._meta.concrete_model
        ):  # a child's parent row is deleted as a row of its own
            pre_delete.connect(_before_delete, sender=kind, dispatch_uid="seclog.rows")
    wrap_method(QuerySet, "update", _update, library="Django")


def listen_to_bulk_create(model: type[Model], listener: BulkListener) -> None:
    """Have a function called after each `bulk_create` of a model, which sends no signal."""
    _bulk_listeners[model] = listener
    wrap_method(QuerySet, "bulk_create", _bulk_create, library="Django")


def forget(name: str) -> None:
    """Remove the observers of a name."""
    for observers in _observers.values():
        observers.pop(name, None)


# ── after the commit ────────────────────────────────────────────────────────────────────────────────────────


def after_commit(using: str, function: Callable[[], object]) -> None:
    """Call a function once what is being done is committed, in the scope of now; never, if it is rolled back.

    Outside a transaction, and where the app commits by hand (Django knows no commit then), it is called now.
    """
    if not connections[using].in_atomic_block:
        function()
        return
    scope = current()

    def run() -> None:
        token = enter(scope)
        try:
            with contained("telling after the commit"):
                function()
        finally:
            leave(token)

    transaction.on_commit(run, using=using, robust=True)


def tell_after_commit(using: str, events: Iterable[Event]) -> None:
    """Record events, made now, once the transaction is committed."""
    for event in list(events):
        after_commit(using, partial(tell, event))


# ── save and delete of one row ──────────────────────────────────────────────────────────────────────────────


@safely
def _before_save(sender: Any, instance: Any, raw: bool, using: str, update_fields: Any = None, **kwargs: Any) -> None:
    instance._state.seclog_before = None
    if raw or _is_new(instance):
        return
    touched = [f for f in _fields(sender) if f.attname in instance.__dict__ and _is_saved(f, update_fields)]
    if touched:
        rows = sender._base_manager.using(using).filter(pk=instance.pk)
        old = _read(rows, sender, touched).get(instance.pk)
        instance._state.seclog_before = (touched, old)
        if old is not None and _differs(old, {f.name: _python(f, getattr(instance, f.attname)) for f in touched}):
            resolve_actor()


@safely
def _after_save(sender: Any, instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    before, instance._state.seclog_before = getattr(instance._state, "seclog_before", None), None
    if raw:
        return
    if created:
        resolve_actor()
        tell_after_commit(using, _creation(sender, instance))
    elif before is not None and before[1] is not None:
        touched, old = before
        new = {f.name: _python(f, getattr(instance, f.attname)) for f in touched}
        if any(_is_expression(value) for value in new.values()):
            rows = sender._base_manager.using(using).filter(pk=instance.pk)
            new = _read(rows, sender, touched).get(instance.pk, {})
        tell_after_commit(using, _difference(sender, instance.pk, old, new))


@safely
def _before_delete(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    """Told from before the delete, while everything is readable; Django deletes inside a transaction."""
    resolve_actor()
    for observer in _observers[sender].values():
        wanted = {f for f in (*observer.fields, observer.title) if f is not None}
        row = Row(instance.pk, {f.name: getattr(instance, f.attname) for f in wanted})
        tell_after_commit(using, observer.deleted(row))


def _is_new(instance: Any) -> bool:
    """Tell whether a save will insert: without a key, or with a key from a default, as Django assumes."""
    return instance.pk is None or (instance._state.adding and instance._meta.pk.has_default())


def _is_saved(field: Any, update_fields: Any) -> bool:
    return update_fields is None or field.name in update_fields or field.attname in update_fields


# ── many rows at once ───────────────────────────────────────────────────────────────────────────────────────


def _update(original: Any, queryset: Any, *args: Any, **kwargs: Any) -> Any:
    """`QuerySet.update`, and with it `bulk_update`, `aupdate` and the bulk methods of related managers."""
    if queryset.model not in _observers:
        return original(queryset, *args, **kwargs)
    touched: list[Any] = []
    before: dict[object, dict[str, object]] = {}
    new: dict[str, object] = {}
    with contained("reading rows before an update"):
        touched = [f for f in _fields(queryset.model) if _is_saved(f, kwargs)]
        if touched and not queryset.query.is_sliced and not queryset.query.combinator:
            before = _read(_for_write(queryset), queryset.model, touched)
            new = {f.name: _python(f, kwargs[f.name] if f.name in kwargs else kwargs[f.attname]) for f in touched}
            if any(_differs(old, new) for old in before.values()):
                resolve_actor()
    count = original(queryset, *args, **kwargs)
    if before:
        with contained("telling an update"):
            _tell_update(queryset, touched, new, before, count)
    return count


def _tell_update(
    queryset: Any, touched: list[Any], new: dict[str, object], before: Mapping[object, Any], count: int
) -> None:
    model, rows = queryset.model, _for_write(queryset)
    after = None
    if any(_is_expression(value) for value in new.values()):
        after = _read(model._base_manager.using(rows.db).filter(pk__in=list(before)), model, touched)
        new = {name: None if _is_expression(value) else value for name, value in new.items()}
    for key, old in before.items():
        now = new if after is None else after.get(key)
        if now is not None:
            tell_after_commit(rows.db, _difference(model, key, old, now))
    if isinstance(count, int) and count > len(before):
        rest = Row(None, new, count - len(before))
        changes = [Change(name, None, value) for name, value in new.items()]
        for observer in _observers[model].values():
            mine = [change for change in changes if change.field in {f.name for f in observer.fields}]
            tell_after_commit(rows.db, observer.changed(rest, mine) if mine else ())


def _bulk_create(original: Any, queryset: Any, *args: Any, **kwargs: Any) -> Any:
    created = original(queryset, *args, **kwargs)
    listener = _bulk_listeners.get(queryset.model)
    if listener is not None:
        with contained("telling bulk_create"):
            given = inspect.signature(original).bind(queryset, *args, **kwargs).arguments
            unsure = next((k for k in ("ignore_conflicts", "update_conflicts") if given.get(k)), None)
            listener(queryset.model, created, _for_write(queryset).db, unsure)
    return created


def _tell_bulk_create(model: type[Model], created: list[Any], using: str, unsure: str | None) -> None:
    resolve_actor()
    for instance in created[:MAX_ROWS]:
        tell_after_commit(using, _creation(model, instance, unsure))
    if len(created) > MAX_ROWS:
        rest = Row(None, {}, len(created) - MAX_ROWS)
        for observer in _observers[model].values():
            tell_after_commit(using, (doubtful(event, unsure) for event in observer.created(rest)))


# ── reading and comparing ───────────────────────────────────────────────────────────────────────────────────


def _fields(model: type[Model]) -> list[Any]:
    """Return the fields of a model that somebody observes, each once."""
    return list({f.name: f for observer in _observers[model].values() for f in observer.fields}.values())


def _read(rows: Any, model: type[Model], fields: list[Any]) -> dict[object, dict[str, object]]:
    """Read rows by their key: the given fields, and those that name the row."""
    titles = [observer.title for observer in _observers[model].values() if observer.title is not None]
    wanted: dict[str, Field] = {f.name: f for f in (*fields, *titles)}
    columns = [f.attname for f in wanted.values()]
    return {
        key: dict(zip(wanted, values, strict=True))
        for key, *values in rows.order_by().values_list("pk", *columns)[:MAX_ROWS]
    }


def _for_write(queryset: Any) -> Any:
    """Return the same rows, to be read where they are written (several databases)."""
    rows = queryset.prefetch_related(None)
    rows._for_write = True
    rows.query.select_for_update = rows.query.select_related = False
    return rows.using(rows.db)


def _difference(model: type[Model], key: object, old: Mapping[str, object], new: Mapping[str, object]) -> list[Event]:
    row = Row(key, {**old, **new})
    events: list[Event] = []
    for observer in _observers[model].values():
        changes = [
            Change(f.name, old[f.name], new[f.name])
            for f in observer.fields
            if f.name in new and f.name in old and old[f.name] != new[f.name]
        ]
        if changes:
            events += observer.changed(row, changes)
    return events


def _differs(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Tell whether values that are about to be written are others than before; an expression may be."""
    return any(_is_expression(value) or old[name] != value for name, value in new.items())


def _creation(model: type[Model], instance: Any, unsure: str | None = None) -> list[Event]:
    events: list[Event] = []
    for observer in _observers[model].values():
        wanted = {f for f in (*observer.fields, observer.title) if f is not None}
        values = {f.name: _python(f, instance.__dict__.get(f.attname)) for f in wanted}
        events += (doubtful(event, unsure) for event in observer.created(Row(instance.pk, values)))
    return events


def doubtful(event: Event, reason: str | None) -> Event:
    """Mark an event that may not have happened: with `ignore_conflicts` nobody can say which rows are new."""
    if reason is not None:
        event.outcome, event.reason = "unknown", reason
    return event


def _is_expression(value: object) -> bool:
    return hasattr(value, "resolve_expression")


def _python(field: Any, value: Any) -> Any:
    """Return a value as reading it back would give it, so that "19" is no change of 19."""
    if value is None or _is_expression(value):
        return value
    if isinstance(value, Model):
        value = value.pk
    try:
        return field.to_python(value)
    except Exception:  # noqa: BLE001 - an app's own field type may raise anything; the raw value will do
        return value
