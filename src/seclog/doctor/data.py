"""The tables, read from the packaged YAML into frozen, typed records. A misspelt key or event type is an error."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from seclog.events.catalogue import Family
from seclog.events.types import EventType

T = TypeVar("T")


class Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blind spot, and the line that helps. It is closed when the app calls one of `told_by`."""

    id: str
    what: str
    why: str
    line: str
    told_by: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only the app's own code can tell."""

    what: str
    line: str
    told_by: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of `coverage.yml`: a hook, a gap or a call."""

    family: Family
    events: tuple[EventType, ...] = ()
    by: str = ""
    module: str = ""
    needs: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    otherwise: Gap | None = None
    gap: Gap | None = None
    call: Call | None = None


class Coverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`coverage.yml`."""

    install: Mapping[str, tuple[str, ...]]
    inherits: Mapping[str, tuple[str, ...]]
    any: tuple[Row, ...]
    django: tuple[Row, ...]
    flask: tuple[Row, ...]
    asgi: tuple[Row, ...]
    fastapi: tuple[Row, ...]

    def rows(self, framework: str) -> tuple[Row, ...]:
        """Return the rows that hold for a framework."""
        return tuple(row for part in self.inherits[framework] for row in getattr(self, part))


class LibraryRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a library does, and what hooks it. `module` is a file of `adapters/integrations`."""

    family: Family
    events: tuple[EventType, ...]
    by: str
    module: str
    line: str = ""
    told_by: tuple[str, ...] = ()


class Library(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A third-party library.

    Args:
        title: what it is called.
        trait: what an app has that uses it.
        rows: what it does, and what hooks it.
        tokens: it issues tokens, so that a token route of the app is not the app's own.
        frameworks: in whose apps our hooks for it are connected.
    """

    title: str
    trait: str
    rows: tuple[LibraryRow, ...]
    tokens: bool = False
    frameworks: tuple[str, ...] = ("django",)


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A library that keeps a record of its own."""

    title: str
    same: str
    keep: str


class Libraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`libraries.yml`."""

    known: Mapping[str, Library]
    audit: Mapping[str, Audit]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose use is a trait ("library:…")."""
        rows = [row for framework in coverage().inherits for row in coverage().rows(framework)]
        traits = {need for row in rows for need in _alternatives(row)}
        traits |= {library.trait for library in self.known.values()}
        return tuple(sorted(trait.partition(":")[2] for trait in traits if trait.startswith("library:")))


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"without": "not"}):
    """A kind of route, told by its words."""

    words: frozenset[str]
    phrases: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    line: str = ""


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`routes.yml`."""

    verbs: frozenset[str]
    changes: Mapping[str, frozenset[str]]
    kinds: Mapping[str, Kind]


State = Literal["ours", "partly", "by call", "not yet", "not ours"]


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A requirement of a standard, and what covers it.

    Args:
        id: as the standard numbers it.
        text: what it asks for, in our words.
        by: what covers it, or who has to.
        state: how much of it is ours. With `families`, the app decides: see `standards.py`.
        level: the standard's level, if it has levels.
        families: families whose coverage in the app decides.
        until: the module of ours that is missing; the test fails when it is there, and this row is to be written anew.
    """

    id: str
    text: str
    by: str
    state: State
    level: str = ""
    families: tuple[int, ...] = ()
    until: str = ""


class Standard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A standard: its title, where its text was read, its requirements."""

    title: str
    source: str
    requirements: tuple[Requirement, ...]


def _alternatives(row: Row) -> tuple[str, ...]:
    return tuple(name for need in (*row.needs, *row.unless) for name in need.split("|"))


def _read(name: str, shape: type[T]) -> T:
    data: Any = yaml.safe_load(files("seclog.doctor").joinpath(name).read_text(encoding="utf-8"))
    return msgspec.convert(data, shape)


@cache
def coverage() -> Coverage:
    """Return what records what, framework by framework."""
    return _read("coverage.yml", Coverage)


@cache
def libraries() -> Libraries:
    """Return the third-party libraries that are known."""
    return _read("libraries.yml", Libraries)


@cache
def words() -> Words:
    """Return the words by which kinds of routes are told."""
    return _read("routes.yml", Words)


@cache
def standards() -> Mapping[str, Standard]:
    """Return the standards by the names that `--standard` takes."""
    return _read("standards.yml", dict[str, Standard])
