"""One row at a time: what a flush inserts, updates and deletes."""

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.sql import ClauseElement

from seclog.adapters._hooks import safely
from seclog.adapters.sqlalchemy.commit import INFO, Pending, pending_of
from seclog.adapters.sqlalchemy.rows import column_event, member_event, row_event, row_of, stored
from seclog.adapters.sqlalchemy.watched import Watched, watches


@safely
def before_update(mapper: Any, connection: Any, target: Any) -> None:
    """Compare the columns, while the row is what it was; the relationships wait for the end of the flush."""
    state = inspect(target)
    pending = pending_of(state.session)
    unknown: list[str] = []
    changes: list[tuple[Watched, str, str, Any]] = []
    for watched in watches(type(target)):
        for name, key in watched.keys.items():
            history = state.attrs[key].history
            if history.added and (not history.deleted or history.added != history.deleted):
                changes.append((watched, name, key, history))
                if not history.deleted:
                    unknown.append(key)
        if watched.relations:
            pending.relations.append((watched, target, None))
            for name in watched.relations:
                if name in state.committed_state and name not in state.dict:
                    state.attrs[name].load_history()  # changed from the other side: not known, once it is flushed
    old = stored(connection, mapper, state.identity, unknown) if unknown else {}
    for watched, name, key, history in changes:
        before = history.deleted[0] if history.deleted else old.get(key)
        after = history.added[0]
        if isinstance(after, ClauseElement) or before != after:
            row = row_of(target, connection, watched.title)
            before, after = (watched.value(connection, name, value) for value in (before, after))
            pending.add(column_event(watched, row, name, before, after, None))


@safely
def after_insert(mapper: Any, connection: Any, target: Any) -> None:
    """Tell the power that a new row starts with; of configuration the row."""
    state = inspect(target)
    pending = pending_of(state.session)
    for watched in watches(type(target)):
        row = row_of(target, connection, watched.title)
        values = {name: watched.value(connection, name, state.dict.get(key)) for name, key in watched.keys.items()}
        if watched.family == "config":
            pending.add(row_event(watched, row, "create", values))
        else:
            for name, value in values.items():
                if value:
                    pending.add(column_event(watched, row, name, None, value, "created"))
        if watched.relations:
            pending.relations.append((watched, target, "created"))


@safely
def before_delete(mapper: Any, connection: Any, target: Any) -> None:
    """Tell what goes with a row, while it is readable."""
    state = inspect(target)
    pending = pending_of(state.session)
    for watched in watches(type(target)):
        missing = [key for key in watched.keys.values() if key not in state.dict]
        read = stored(connection, mapper, state.identity, missing) if missing else {}
        row = row_of(target, connection, watched.title)
        values = {
            name: watched.value(connection, name, state.dict.get(key, read.get(key)))
            for name, key in watched.keys.items()
        }
        if watched.family == "config":
            pending.add(row_event(watched, row, "delete", values))
            continue
        for name, value in values.items():
            if value:
                pending.add(column_event(watched, row, name, value, None, "deleted"))
        for name in watched.relations:
            history = state.attrs[name].load_history()
            held = [item for item in (*(history.unchanged or ()), *(history.deleted or ())) if item is not None]
            _tell_relation(connection, watched, target, name, (), held, "deleted")


@safely
def after_flush(session: Any, flush_context: Any) -> None:
    """Relationships wait for the end of the flush: a new role has its key then."""
    pending: Pending | None = session.info.get(INFO)
    if pending is None:
        return
    relations, pending.relations = pending.relations, []
    for watched, target, reason in relations:
        for name in watched.relations:
            history = inspect(target).attrs[name].history
            if history.added or history.deleted:
                connection = session.connection(bind_arguments={"mapper": inspect(type(target))})
                _tell_relation(connection, watched, target, name, history.added, history.deleted, reason)


def _tell_relation(
    connection: Any, watched: Watched, target: Any, name: str, added: Any, removed: Any, reason: str | None
) -> None:
    added, removed = ([item for item in items or () if item is not None] for items in (added, removed))
    if not (added or removed):
        return
    pending = pending_of(inspect(target).session)
    holder = row_of(target, connection, watched.title)
    if watched.family == "role" and inspect(type(target)).relationships[name].uselist:
        for items, is_added in ((added, True), (removed, False)):
            for item in items:
                pending.add(member_event(holder, row_of(item, connection), added=is_added, reason=reason))
        return
    relation = inspect(type(target)).relationships[name]
    old: Any = [_named(item, connection) for item in removed]
    new: Any = [_named(item, connection) for item in added]
    if relation.uselist:
        kept = [_named(item, connection) for item in inspect(target).attrs[name].history.unchanged or ()]
        old, new = sorted({*kept, *old}), sorted({*kept, *new})
    else:
        old, new = (old[0] if old else None), (new[0] if new else None)
    pending.add(column_event(watched, holder, name, old, new, reason))


def _named(item: Any, connection: Any) -> str:
    row = row_of(item, connection)
    return row.name or row.key or row.label
