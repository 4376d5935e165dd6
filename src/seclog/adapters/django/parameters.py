"""What a request asked for, as facts of an error entry: bounded here, censored by the redactor on its way to
disk.

Only what is in memory already is looked at. Nothing is ever read from the client for the sake of a log: a
body that the view did not read stays unread, and of an uploaded file only name, size and declared type are
told. Values are never cut in the middle: half a secret is one that no pattern recognises any more.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, QueryDict

MAX_PARAMETERS: Final = 50
"""Parameters of one place (query, form, body) that are written."""

_MAX_NODES: Final = 200
_MAX_DEPTH: Final = 6
_MAX_TEXT: Final = 2048
_MAX_KEY: Final = 1024
_MAX_QUERY: Final = 16 * 1024
_MAX_JSON: Final = 64 * 1024


def parameters(request: HttpRequest, parsed: Any = None) -> dict[str, object]:
    """Return what the client sent, as far as somebody has read it.

    Args:
        request: the request.
        parsed: a body that a framework on top of Django parsed itself, or None.
    """
    found: dict[str, object] = {}
    query = request.META.get("QUERY_STRING")
    if query:
        found["query"] = _query(query)
    known = request.__dict__
    form, files = known.get("_post"), known.get("_files")
    if form:
        found["form"] = _pairs(form.lists())
    if files:
        found["files"] = [_file(file) for _, many in files.lists() for file in many][:MAX_PARAMETERS]
    if not form and not files:
        body = _json(request.content_type, known.get("_body")) if parsed is None else _Bounded().value(parsed)
        if body is not None:
            found["body"] = body
    return found


def _query(text: str) -> object:
    if len(text) > _MAX_QUERY:
        return f"[{len(text)} characters]"
    return _pairs(
        (name, [value]) for name, value in parse_qsl(text, keep_blank_values=True, errors="replace")
    )


def _pairs(pairs: Iterable[tuple[str, list[Any]]]) -> dict[str, object]:
    """Gather repeated names into one list each, up to the limit, and say how many parameters are left out."""
    gathered: dict[str, list[Any]] = {}
    left_out = 0
    for name, values in pairs:
        if name in gathered or len(gathered) < MAX_PARAMETERS:
            gathered.setdefault(name, []).extend(values)
        else:
            left_out += 1
    bounded = _Bounded()
    shown = {_key(name): bounded.value(v[0] if len(v) == 1 else v) for name, v in gathered.items()}
    return {**shown, "…": f"{left_out} more"} if left_out else shown


def _json(content_type: str | None, body: bytes | None) -> object:
    """Return a body that somebody read, if it says that it is JSON; what it is instead if it is not."""
    if not body or not content_type or not content_type.endswith(("/json", "+json")):
        return None
    if len(body) > _MAX_JSON:
        return f"[JSON of {len(body)} bytes]"
    try:
        return _Bounded().value(json.loads(body))
    except (ValueError, RecursionError):
        return f"[not JSON: {len(body)} bytes]"


class _Bounded:
    """Copies a value down to a bounded number of nodes."""

    def __init__(self) -> None:
        self._left = _MAX_NODES

    def value(self, value: Any, depth: int = 0) -> object:
        self._left -= 1
        match value:
            case str() if len(value) > _MAX_TEXT:
                return f"[{len(value)} characters]"
            case UploadedFile():
                return _file(value)
            case QueryDict():
                return _pairs(value.lists())
            case Mapping() | list() | tuple() if depth >= _MAX_DEPTH or self._left <= 0:
                return f"[{len(value)} items]"
            case Mapping():
                items = list(value.items())[:MAX_PARAMETERS]
                shown = {_key(key): self.value(item, depth + 1) for key, item in items}
                return (
                    shown if len(value) == len(items) else {**shown, "…": f"{len(value) - len(items)} more"}
                )
            case list() | tuple():
                shown_items = [self.value(item, depth + 1) for item in value[:MAX_PARAMETERS]]
                return (
                    shown_items if len(value) <= MAX_PARAMETERS else [*shown_items, f"… {len(value)} items"]
                )
        return value


def _key(name: object) -> str:
    text = str(name)
    return text if len(text) <= _MAX_KEY else f"[{len(text)} characters]"


def _file(file: UploadedFile) -> dict[str, object]:
    return {"name": _key(file.name), "size": file.size, "type": file.content_type}
