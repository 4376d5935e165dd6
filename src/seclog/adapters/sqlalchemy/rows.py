"""A row in words, and the events that are made of what happened to it."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from sqlalchemy import and_, inspect, select
from sqlalchemy.sql import ClauseElement

from seclog.adapters.sqlalchemy.watched import Watched, title_of, watches
from seclog.context import current
from seclog.events import Event, EventType

_COMPUTED: Final = "[computed by the database]"


@dataclass(frozen=True, slots=True)
class Row:
    """A row in words. Without a key it stands for `count` further rows."""

    label: str
    key: str | None = None
    name: str | None = None
    count: int = 1

    @property
    def about(self) -> dict[str, object]:
        """Return what an entry says of the row it is about."""
        fields = {"seclog.target.type": self.label, "seclog.target.id": self.key, "seclog.target.name": self.name}
        if self.key is None:
            fields["seclog.count"] = self.count  # type: ignore[assignment]
        scope = current()
        if self.key is not None and scope is not None and scope.ready().user_id == self.key:
            fields["seclog.self"] = True  # type: ignore[assignment]
        return {name: value for name, value in fields.items() if value is not None}


def row_of(instance: Any, connection: Any, title: str | None = None) -> Row:
    """Describe an object; its name is read if it is not loaded (a commit expires what is)."""
    state = inspect(instance)
    identity = state.identity or state.mapper.primary_key_from_instance(instance)
    if title is None:
        title = next((w.title for w in watches(type(instance))), None) or title_of(state.mapper)
    name = state.dict.get(title) if title is not None else None
    if title is not None and title not in state.dict and state.identity is not None:
        name = stored(connection, state.mapper, state.identity, [title]).get(title)
    return Row(type(instance).__name__, key_of(identity), None if name is None else str(name))


def key_of(identity: Iterable[object]) -> str | None:
    """Return a primary key as text; None for a row that has none yet."""
    parts = [str(part) for part in identity if part is not None]
    return ",".join(parts) or None


def value_of(value: Any) -> object:
    """Return a value as it is now; a list may be changed later, before it is told."""
    match value:
        case ClauseElement():
            return _COMPUTED
        case Enum():
            return value.name
        case dict() | list() | set():
            return copy.deepcopy(value)
    return value


def stored(connection: Any, mapper: Any, identity: Any, names: list[str]) -> dict[str, Any]:
    """Read columns of one row, as they are before the UPDATE that follows."""
    columns = [mapper.column_attrs[name].columns[0] for name in names]
    match = and_(*(column == value for column, value in zip(mapper.primary_key, identity, strict=True)))
    found = connection.execute(select(*columns).select_from(mapper.persist_selectable).where(match)).first()
    return {} if found is None else dict(zip(names, found, strict=True))


# ── what is told of it ────────────────────────────────────────────────────────────────────────────────────────────


def column_event(watched: Watched, row: Row, name: str, old: object, new: object, reason: str | None) -> Event:
    """Tell of a changed column by what it means in its family."""
    values: dict[str, object] = {
        "seclog.change.field": name,
        "seclog.change.old": value_of(old),
        "seclog.change.new": value_of(new),
    }
    if watched.family == "config":
        about = {**row.about, "seclog.action": "change", "seclog.target.name": f"{row.label}.{name}"}
        if row.name is not None and watched.title in ("key", "name", "slug"):
            # a table of keys and values: what changes is the key's value, and the key says whether it is a secret
            about["seclog.target.name"] = f"{row.label}.{row.name}"
            values["seclog.change.field"] = row.name if name == "value" else f"{row.name}.{name}"
        return Event(type=EventType.CONFIG_CHANGED, reason=reason, fields={**about, **values})
    if watched.family == "permission":
        group = {"seclog.group.id": row.key, "seclog.group.name": row.name}
        fields = {**_present(group), **values, "seclog.change.direction": _direction(old, new)}
        return Event(type=EventType.GROUP_PERMISSIONS_CHANGED, reason=reason, fields=fields)
    fields = {**row.about, **values, "seclog.change.direction": _direction(old, new)}
    return Event(type=EventType.AUTHZ_CHANGE, reason=reason, fields=fields)


def _present(fields: dict[str, Any]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _direction(old: object, new: object) -> str:
    """Tell whether power was given or taken; of two names of roles nobody here knows which is the higher."""
    if isinstance(old, list | tuple | set | frozenset) or isinstance(new, list | tuple | set | frozenset):
        before, after = set(map(str, old or ())), set(map(str, new or ()))  # type: ignore[call-overload]
        return "grant" if before < after else "revoke" if after < before else "change"
    if isinstance(new, ClauseElement) or (old and new):
        return "change"
    return "grant" if new else "revoke"


def row_event(watched: Watched, row: Row, action: str, values: dict[str, object]) -> Event:
    """Tell of a created or deleted row of configuration."""
    side = "seclog.change.old" if action == "delete" else "seclog.change.new"
    if row.name is not None and watched.title == "key" and "value" in values:
        values = {row.name: values["value"], **{k: v for k, v in values.items() if k not in ("value", "key")}}
    about = {**row.about, "seclog.action": action, "seclog.target.name": row.label}
    return Event(type=EventType.CONFIG_CHANGED, fields={**about, side: {k: value_of(v) for k, v in values.items()}})


def member_event(holder: Row, held: Row, *, added: bool, reason: str | None) -> Event:
    """Tell of a role that was given or taken."""
    kind = EventType.GROUP_MEMBER_ADDED if added else EventType.GROUP_MEMBER_REMOVED
    group = {"seclog.group.id": held.key, "seclog.group.name": held.name or held.key}
    return Event(type=kind, reason=reason, fields={**holder.about, **_present(group)})
