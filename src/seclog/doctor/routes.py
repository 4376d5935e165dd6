"""What a route looks like, by the words of its path, its name and its view."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from seclog.doctor.data import Kind, words
from seclog.doctor.facts import Route
from seclog.doctor.report import SensitiveRoute

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PARAMETER: Final = re.compile(r"\{[^}]*\}|<[^>]*>|\(\?P<[^>]*>[^)]*\)")
_METHODS: Final = {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_NO_ADVICE: Final[Mapping[str, tuple[str, ...]]] = defaultdict(
    tuple,
    download=("create", "update", "delete"),
    export=("update", "delete"),
    token=("read",),
)
"""Kind -> actions that its line does not fit: an upload is no download, a look at a token issues none."""
_TOKEN_EVENTS: Final = {"create": "created", "update": "refreshed", "delete": "revoked"}
_FIRST: Final = ("export", "download", "token", "finance", "personal", "admin")
"""Whose advice is given if a route is of several kinds: what leaves counts more than who asks."""


def kinds_of(route: Route) -> tuple[str, ...]:
    """Return the kinds that a route looks like, in the table's order."""
    said = [_singular(word) for word in (*_path(route), "/", *_split(route.name), "/", *_view(route))]
    found = [name for name, kind in words().kinds.items() if _matches(kind, said)]
    return tuple(name for name in found if words().kinds[name].unless.isdisjoint(found))


def sensitive(routes: tuple[Route, ...], told: frozenset[str] = frozenset()) -> Iterator[SensitiveRoute]:
    """Return the routes that look sensitive, whose views are the app's own, and which carry no decorator.

    Args:
        routes: all of them.
        told: kinds that are recorded without a decorator.
    """
    table = words().kinds
    for route in routes:
        found = tuple(name for name in kinds_of(route) if table[name].line and name not in told)
        if found and route.own and not route.marks:
            line = _line(min(found, key=_FIRST.index), route)
            yield SensitiveRoute(route.path, route.methods, route.view, found, line)


def _line(name: str, route: Route) -> str:
    """Return what to put on the view."""
    kinds, action = words().kinds, _action(route)
    about = _resource(kinds[name], route)
    if action in _NO_ADVICE[name]:
        name = "personal"
    suffix = f', action="{action}"' if action != "read" else ""
    return kinds[name].line.format(
        resource=about, name=_name(route), action=suffix, event=_TOKEN_EVENTS.get(action, "")
    )


def _action(route: Route) -> str:
    """Return whether a view reads, creates, updates or deletes: by its name, its path, or its only method."""
    method = route.methods[0] if len(route.methods) == 1 else ""
    if method in {"GET", "DELETE", "PATCH"}:
        return _METHODS[method]
    for said in (_view(route), _path(route)):
        for action, verbs in words().changes.items():
            if not verbs.isdisjoint(map(_singular, said)):
                return action if action != "read" or method != "PUT" else "update"
    return _METHODS.get(method, "read")


def _matches(kind: Kind, said: list[str]) -> bool:
    text = f" {' '.join(said)} "
    return kind.without.isdisjoint(said) and (
        not kind.words.isdisjoint(said) or any(f" {phrase} " in text for phrase in kind.phrases)
    )


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────


def _path(route: Route) -> list[str]:
    """Return the words of the path; a parameter's name is none of them."""
    return _split(_PARAMETER.sub(" ", route.path))


def _view(route: Route) -> list[str]:
    return _split(route.view.rpartition(".")[2])


def _split(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text)]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ss", "us", "is")) or len(word) < 4:
        return word
    return word.removesuffix("s")


def _resource(kind: Kind, route: Route) -> str:
    """Return the word that says what a route is about.

    In this order: the word that made it sensitive, if it is a noun ("invoices"); the noun before it
    ("/projects/7/export/formats"); the last noun of the path; one of the view's name.
    """
    path = _path(route)
    kinds = [place for place, word in enumerate(path) if _singular(word) in kind.words]
    candidates = [path[place] for place in kinds]
    candidates += reversed(path[: kinds[0]] if kinds else [])
    candidates += [word for word in _view(route) if _singular(word) in kind.words]
    candidates += [*reversed(path), *_view(route)]
    return next((word for word in candidates if _is_noun(word)), "records")


def _name(route: Route) -> str:
    return "_".join(_view(route)) or "view"


def _is_noun(word: str) -> bool:
    return _singular(word) not in words().verbs and not word.isdigit() and len(word) > 1
