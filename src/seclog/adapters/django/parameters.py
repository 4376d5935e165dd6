"""What a Django request asked for, as facts of an error entry.

Only what is in memory already is looked at. Nothing is ever read from the client for the sake of a log: a
body that the view did not read stays unread, and of an uploaded file only name, size and declared type are
told.
"""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, QueryDict

from seclog.adapters._params import Bounded, form_facts, json_facts, key_fact, pair_facts, query_facts


def parameters(request: HttpRequest, parsed: Any = None) -> dict[str, object]:
    """Return what the client sent, as far as somebody has read it.

    Args:
        request: the request.
        parsed: a body that a framework on top of Django parsed itself, or None.
    """
    found: dict[str, object] = {}
    query = request.META.get("QUERY_STRING")
    if query:
        found["query"] = query_facts(query)
    known = request.__dict__
    form, files = known.get("_post"), known.get("_files")
    found |= form_facts(form, files, _plain)
    if not form and not files:
        read = known.get("_body")
        body = json_facts(request.content_type, read) if parsed is None else Bounded(_plain).value(parsed)
        if body is not None:
            found["body"] = body
    return found


def _plain(value: Any) -> object:
    """Turn Django's own kinds of value into plain ones."""
    match value:
        case UploadedFile():
            return _file(value)
        case QueryDict():
            return pair_facts(value.lists(), _plain)
    return NotImplemented


def _file(file: UploadedFile) -> dict[str, object]:
    return {"name": key_fact(file.name), "size": file.size, "type": file.content_type}
