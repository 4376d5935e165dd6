"""The one thing that an app calls: which columns and relationships of which model are watched."""

from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from seclog.adapters.sqlalchemy import commit
from seclog.adapters.sqlalchemy.bulk import on_execute
from seclog.adapters.sqlalchemy.flush import after_flush, after_insert, before_delete, before_update
from seclog.adapters.sqlalchemy.watched import FAMILIES, Family, Watched, link_of, registry, title_of, watches


def watch(model: type[Any], *names: str, family: Family, title: str | None = None) -> None:
    """Tell changes of a mapped class, and of the classes that inherit from it.

    Args:
        model: the mapped class.
        *names: columns and relationships by their attribute's name. None: all columns but the primary key.
        family: "role" (or 4) for what gives power to the rows of this model: `is_admin`, `role`, the relationship to
            roles. "permission" for what a role may do: the model is the role then. "config" (or 9) for configuration.
        title: the attribute that names a row in an entry; `username`, `email`, `name`, `key` … if None.

    Raises:
        ValueError: the family or a name is not known.
    """
    kind = FAMILIES.get(family)
    if kind is None:
        raise ValueError(f"family must be 'role', 'permission' or 'config', got {family!r}")
    mapper = inspect(model)
    columns, relations = _chosen(mapper, names)
    if kind == "role":  # `user.roles` is watched: the same relationship, seen from the role, tells nothing new
        relations = tuple(name for name in relations if not _is_watched_from_the_other_side(mapper, name))
    links = {name: link_of(mapper, name) for name in relations}
    watched = Watched(
        model,
        kind,
        {**dict.fromkeys(columns), **{name: link for name, link in links.items() if link is not None}},
        tuple(name for name, link in links.items() if link is None),
        title or title_of(mapper),
    )
    already = registry.setdefault(model, {})
    if not already:
        event.listen(mapper, "before_update", before_update, propagate=True)
        event.listen(mapper, "after_insert", after_insert, propagate=True)
        event.listen(mapper, "before_delete", before_delete, propagate=True)
    already[kind] = watched if kind not in already else already[kind].joined(watched)
    _listen_to_sessions()


def forget(model: type[Any] | None = None) -> None:
    """Watch a model, or all of them, no longer."""
    for each in list(registry) if model is None else [model]:
        if registry.pop(each, None):
            mapper = inspect(each)
            event.remove(mapper, "before_update", before_update)
            event.remove(mapper, "after_insert", after_insert)
            event.remove(mapper, "before_delete", before_delete)


def _chosen(mapper: Any, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    keys = {attribute.key for attribute in mapper.column_attrs}
    if not names:
        own = {mapper.get_property_by_column(column).key for column in mapper.primary_key}
        return tuple(a.key for a in mapper.column_attrs if a.key not in own), ()
    for name in names:
        if name not in keys and name not in mapper.relationships:
            raise ValueError(f"{mapper.class_.__name__} has no mapped attribute {name!r}")
    return tuple(n for n in names if n in keys), tuple(n for n in names if n not in keys)


def _is_watched_from_the_other_side(mapper: Any, name: str) -> bool:
    others = getattr(mapper.relationships[name], "_reverse_property", ())
    return any(other.key in watched.relations for other in others for watched in watches(other.parent.class_))


def _listen_to_sessions() -> None:
    for name, listener in (("after_flush", after_flush), ("do_orm_execute", on_execute)):
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)
    commit.listen()
