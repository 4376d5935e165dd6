"""What a client sent, as bounded facts of an error entry; the redactor censors them on their way to disk.

Framework-free. Values are never cut in the middle: half a secret is one that no pattern recognises any more.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

MAX_PARAMETERS: Final = 50
"""Parameters of one place (query, form, body) that are written."""

_MAX_NODES: Final = 200
_MAX_DEPTH: Final = 6
_MAX_TEXT: Final = 2048
_MAX_KEY: Final = 1024
_MAX_QUERY: Final = 16 * 1024
MAX_JSON: Final = 64 * 1024

Special = Callable[[Any], object]
"""Turns a framework's own kind of value into a plain one; returns NotImplemented for all others."""


def query_facts(text: str) -> object:
    """Return a query string's parameters."""
    if len(text) > _MAX_QUERY:
        return f"[{len(text)} characters]"
    return pair_facts((name, [value]) for name, value in parse_qsl(text, keep_blank_values=True, errors="replace"))


def pair_facts(pairs: Iterable[tuple[str, list[Any]]], special: Special | None = None) -> dict[str, object]:
    """Gather repeated names into one list each, up to the limit, and say how many parameters are left out."""
    gathered: dict[str, list[Any]] = {}
    left_out = 0
    for name, values in pairs:
        if name in gathered or len(gathered) < MAX_PARAMETERS:
            gathered.setdefault(name, []).extend(values)
        else:
            left_out += 1
    bounded = Bounded(special)
    shown = {key_fact(name): bounded.value(v[0] if len(v) == 1 else v) for name, v in gathered.items()}
    return {**shown, "…": f"{left_out} more"} if left_out else shown


def form_facts(form: Any, files: Any, special: Special) -> dict[str, object]:
    """Return a form and its files as a framework parsed them.

    Args:
        form: has `lists()`: names and all their values; None or empty if there is none.
        files: the same of files.
        special: turns a file into its name, size and declared type.
    """
    found: dict[str, object] = {}
    if form:
        found["form"] = pair_facts(form.lists(), special)
    if files:
        found["files"] = [special(file) for _, many in files.lists() for file in many][:MAX_PARAMETERS]
    return found


def json_facts(content_type: str | None, body: bytes | None) -> object:
    """Return a body that somebody read, if it says that it is JSON; what it is instead if it is not."""
    if not body or not content_type or not content_type.partition(";")[0].strip().endswith(("/json", "+json")):
        return None
    if len(body) > MAX_JSON:
        return f"[JSON of {len(body)} bytes]"
    try:
        return Bounded().value(json.loads(body))
    except (ValueError, RecursionError):
        return f"[not JSON: {len(body)} bytes]"


class Bounded:
    """Copies a value down to a bounded number of nodes.

    Args:
        special: knows the framework's own kinds of value.
    """

    def __init__(self, special: Special | None = None) -> None:
        self._left = _MAX_NODES
        self._special = special

    def value(self, value: Any, depth: int = 0) -> object:
        """Return the bounded copy."""
        self._left -= 1
        if self._special is not None:
            plain = self._special(value)
            if plain is not NotImplemented:
                return plain
        match value:
            case str() if len(value) > _MAX_TEXT:
                return f"[{len(value)} characters]"
            case Mapping() | list() | tuple() if depth >= _MAX_DEPTH or self._left <= 0:
                return f"[{len(value)} items]"
            case Mapping():
                items = list(value.items())[:MAX_PARAMETERS]
                shown = {key_fact(key): self.value(item, depth + 1) for key, item in items}
                return shown if len(value) == len(items) else {**shown, "…": f"{len(value) - len(items)} more"}
            case list() | tuple():
                shown_items = [self.value(item, depth + 1) for item in value[:MAX_PARAMETERS]]
                return shown_items if len(value) <= MAX_PARAMETERS else [*shown_items, f"… {len(value)} items"]
        return value


def key_fact(name: object) -> str:
    """Return a name, or how long it is if it is absurdly long."""
    text = str(name)
    return text if len(text) <= _MAX_KEY else f"[{len(text)} characters]"
