"""Many rows at once: `update(Model)` and `delete(Model)`, which never come to a flush."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import and_, or_, select

from seclog.adapters._hooks import contained
from seclog.adapters.sqlalchemy.commit import pending_of
from seclog.adapters.sqlalchemy.rows import Row, column_event, key_of, row_event
from seclog.adapters.sqlalchemy.watched import Watched, watches
from seclog.events import Event

MAX_ROWS: Final = 500
"""Rows of one bulk operation that are told one by one; the rest as a number."""


def on_execute(state: Any) -> Any:
    """`session.execute(update(Model) …)`, `delete(Model)`, and the `Query` methods that end there."""
    if state.is_insert:
        return _insert(state)
    if not (state.is_update or state.is_delete):
        return None
    bulk = None
    with contained("reading rows before a bulk statement"):
        mapper = state.bind_mapper
        if mapper is not None and any(watches(mapper.class_)):
            bulk = _Bulk(state, mapper)
    if bulk is None:
        return None
    result = state.invoke_statement()  # so that a statement that fails is not told
    with contained("telling a bulk statement"):
        bulk.tell(result)
    return result


def _insert(state: Any) -> Any:
    """`session.execute(insert(Model), …)`: the rows as they were given; what the database adds is not known."""
    mapper = state.bind_mapper
    if mapper is None or not any(watches(mapper.class_)):
        return None
    result = state.invoke_statement()
    with contained("telling a bulk insert"):
        pending = pending_of(state.session)
        rows = _rows_given(state) or _rows_in(state.statement, mapper)
        own = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        for watched in watches(mapper.class_):
            for values in rows[:MAX_ROWS]:
                name = values.get(watched.title) if watched.title is not None else None
                row = Row(mapper.class_.__name__, key_of(values.get(key) for key in own), name and str(name))
                given = {name: values[key] for name, key in watched.keys.items() if key in values}
                if watched.family == "config":
                    pending.add(row_event(watched, row, "create", given))
                else:
                    for column, value in given.items():
                        if value:
                            pending.add(column_event(watched, row, column, None, value, "created"))
    return result


def _rows_in(statement: Any, mapper: Any) -> list[Mapping[str, Any]]:
    """Return the rows of `insert(Model).values(…)` by attribute."""
    several = [row for rows in getattr(statement, "_multi_values", ()) for row in rows]
    found: list[Any] = several or [getattr(statement, "_values", None) or {}]
    names = {column.name: attribute.key for attribute in mapper.column_attrs for column in attribute.columns}
    return [
        {
            names.get(str(getattr(key, "name", key)), str(getattr(key, "key", key))): getattr(value, "value", value)
            for key, value in dict(row).items()
        }
        for row in found
    ]


class _Bulk:
    """A bulk statement on a watched model: the rows before, and what is told of them."""

    def __init__(self, state: Any, mapper: Any) -> None:
        self._session = state.session
        self._mapper = mapper
        self._is_delete = bool(state.is_delete)
        self._watches = list(watches(mapper.class_))
        touched = None if self._is_delete else _assigned(state, mapper)
        names = {key for w in self._watches for key in w.keys.values() if touched is None or key in touched}
        self._touched = names
        titles = {w.title for w in self._watches if w.title is not None}
        self._names = sorted(names | titles)
        self._before = self._read(_conditions(state, mapper)) if names else {}

    def _read(self, conditions: Any) -> dict[tuple[Any, ...], dict[str, Any]]:
        keys = len(self._mapper.primary_key)
        columns = [self._mapper.column_attrs[name].columns[0] for name in self._names]
        statement = select(*self._mapper.primary_key, *columns).select_from(self._mapper.persist_selectable)
        if conditions is not None:
            statement = statement.where(conditions)
        rows = self._session.connection(bind_arguments={"mapper": self._mapper}).execute(statement.limit(MAX_ROWS))
        return {tuple(row[:keys]): dict(zip(self._names, row[keys:], strict=True)) for row in rows}

    def tell(self, result: Any) -> None:
        """Queue the events of the rows that changed, and of those that were too many to read."""
        pending = pending_of(self._session)
        label = self._mapper.class_.__name__
        after = {} if self._is_delete or not self._before else self._read(_is_one_of(self._mapper, self._before))
        for key, old in self._before.items():
            if not self._is_delete and key not in after:
                continue
            for watched in self._watches:
                row = Row(label, key_of(key), self._name(watched, old))
                for told in self._events(watched, row, old, after.get(key, {})):
                    pending.add(told)
        count = getattr(result, "rowcount", -1)
        if isinstance(count, int) and count > len(self._before) >= MAX_ROWS:
            for watched in self._watches:
                for told in self._rest(watched, Row(label, count=count - len(self._before))):
                    pending.add(told)

    def _name(self, watched: Watched, values: Mapping[str, Any]) -> str | None:
        name = values.get(watched.title) if watched.title is not None else None
        return None if name is None else str(name)

    def _events(self, watched: Watched, row: Row, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Event]:
        connection = self._session.connection(bind_arguments={"mapper": self._mapper})
        mine = {name: key for name, key in watched.keys.items() if key in self._touched}
        if self._is_delete and watched.family == "config":
            values = {name: watched.value(connection, name, old[key]) for name, key in mine.items()}
            yield row_event(watched, row, "delete", values)
            return
        reason = "deleted" if self._is_delete else None
        for name, key in mine.items():
            if old[key] != new.get(key) and (old[key] or not self._is_delete):
                before, after = (watched.value(connection, name, value) for value in (old[key], new.get(key)))
                yield column_event(watched, row, name, before, after, reason)

    def _rest(self, watched: Watched, row: Row) -> Iterator[Event]:
        for name, key in watched.keys.items():
            if key in self._touched:
                told = column_event(watched, row, name, None, None, "deleted" if self._is_delete else None)
                told.fields = {k: v for k, v in told.fields.items() if k != "seclog.change.direction"}
                yield told


def _assigned(state: Any, mapper: Any) -> set[str]:
    """Return the attributes that an UPDATE writes."""
    keys: set[str] = set()
    given: list[Any] = list(getattr(state.statement, "_values", None) or ())
    for parameters in _rows_given(state):
        given += list(parameters)
    for pair in getattr(state.statement, "_ordered_values", None) or ():
        given.append(pair[0])
    columns = {column.name: attribute.key for attribute in mapper.column_attrs for column in attribute.columns}
    for column in given:
        name = column if isinstance(column, str) else getattr(column, "key", None) or getattr(column, "name", "")
        keys |= {str(name), columns.get(getattr(column, "name", str(name)), str(name))}
    return keys


def _rows_given(state: Any) -> list[Mapping[str, Any]]:
    """Return the rows of an UPDATE by primary key: `session.execute(update(Model), [{"id": 1, …}])`."""
    parameters = state.parameters
    if isinstance(parameters, Mapping):
        return [parameters]
    return list(parameters or ())


def _conditions(state: Any, mapper: Any) -> Any:
    """Return which rows a statement is about."""
    conditions = state.statement.whereclause
    rows = _rows_given(state)
    if conditions is not None or not rows:
        if conditions is not None and rows and isinstance(state.parameters, Mapping):
            return conditions.params(**{str(name): value for name, value in rows[0].items()})
        return conditions
    own = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    keys: dict[tuple[Any, ...], Any] = {}
    keys |= {tuple(row[name] for name in own): None for row in rows[:MAX_ROWS] if all(name in row for name in own)}
    return _is_one_of(mapper, keys) if keys else None


def _is_one_of(mapper: Any, keys: Mapping[tuple[Any, ...], Any]) -> Any:
    if len(mapper.primary_key) == 1:
        return mapper.primary_key[0].in_([key[0] for key in keys])
    return or_(*(and_(*(c == v for c, v in zip(mapper.primary_key, key, strict=True))) for key in keys))
