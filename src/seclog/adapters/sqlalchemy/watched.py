"""What is watched: models, families, columns and relationships, and how a row is named."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.sql import ClauseElement

Family = Literal["role", "permission", "config", 4, 9]
FAMILIES: Final[Mapping[object, str]] = {
    "role": "role",
    "permission": "permission",
    "config": "config",
    4: "role",
    9: "config",
}
_NAMES: Final = ("username", "user_name", "email", "login", "name", "key", "slug", "title")


@dataclass(frozen=True, slots=True)
class Link:
    """A relationship to one row by one foreign key: that is the column to look at, and the row names the value."""

    key: str
    related: Any

    def named(self, connection: Any, value: Any) -> Any:
        """Return the name of the row that a foreign key leads to."""
        title = title_of(self.related)
        if value is None or title is None or isinstance(value, ClauseElement):
            return value
        column = self.related.column_attrs[title].columns[0]
        match = self.related.primary_key[0] == value
        found = connection.execute(select(column).select_from(self.related.persist_selectable).where(match)).scalar()
        return value if found is None else found


def link_of(mapper: Any, name: str) -> Link | None:
    """Return the foreign key that a relationship stands for; None for any other relationship."""
    relation = mapper.relationships[name]
    pairs = relation.local_remote_pairs
    if relation.uselist or relation.secondary is not None or len(pairs) != 1:
        return None
    (local, remote), related = pairs[0], relation.mapper
    if tuple(related.primary_key) != (remote,) or local not in mapper.columns.values():
        return None
    return Link(mapper.get_property_by_column(local).key, related)


def title_of(mapper: Any) -> str | None:
    """Return the attribute that names a row."""
    keys = {attribute.key for attribute in mapper.column_attrs}
    return next((name for name in _NAMES if name in keys), None)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched of a model, for one family."""

    model: type[Any]
    family: str
    columns: Mapping[str, Link | None]
    relations: tuple[str, ...]
    title: str | None

    @property
    def keys(self) -> dict[str, str]:
        """Return by name the attribute that holds the value."""
        return {name: name if link is None else link.key for name, link in self.columns.items()}

    def value(self, connection: Any, name: str, value: Any) -> Any:
        """Return a value as it is told: a foreign key by the name of its row."""
        link = self.columns[name]
        return value if link is None else link.named(connection, value)

    def joined(self, other: "Watched") -> "Watched":
        """Return both as one: the same model may be watched in several calls."""
        columns = {**self.columns, **other.columns}
        relations = tuple(dict.fromkeys((*self.relations, *other.relations)))
        return Watched(self.model, self.family, columns, relations, other.title or self.title)


registry: dict[type[Any], dict[str, Watched]] = {}


def watches(model: type[Any]) -> Iterator[Watched]:
    """Return what is watched of a model, by itself or by what it inherits from."""
    for base in model.__mro__:
        yield from registry.get(base, {}).values()
