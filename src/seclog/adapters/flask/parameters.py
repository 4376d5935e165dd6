"""What a Flask request asked for, as facts of an error entry. Only what the app has read already is looked at."""

from typing import Any

from werkzeug.datastructures import FileStorage, MultiDict

from seclog.adapters._params import form_facts, json_facts, key_fact, query_facts
from seclog.adapters.flask.request import RequestScope


def parameters(scope: RequestScope) -> dict[str, object]:
    """Return what the client sent, as far as somebody has read it. Of a file only name, size and type."""
    found: dict[str, object] = {}
    query = scope.environ.get("QUERY_STRING")
    if query:
        found["query"] = query_facts(query)
    form, files = form_of(scope), _known(scope, "files")
    found |= form_facts(form, files, _plain)
    if not form and not files:
        body = json_facts(scope.environ.get("CONTENT_TYPE"), _known(scope, "_cached_data"))
        if body is not None:
            found["body"] = body
    return found


def form_of(scope: RequestScope) -> MultiDict[str, str] | None:
    """Return the form that the app has read; None if it has not, or if there is none."""
    form = _known(scope, "form")
    return form if isinstance(form, MultiDict) else None


def json_of(scope: RequestScope) -> object:
    """Return the JSON body that the app has parsed, or None."""
    found = _known(scope, "_cached_json")  # a pair: the value, and what `silent=True` gives
    value = found[0] if isinstance(found, tuple) and found else None
    return None if value is ... else value


def _known(scope: RequestScope, name: str) -> Any:
    """Return what werkzeug keeps on a request once it was asked for; asking would read from the client."""
    request = scope.request
    return None if request is None else request.__dict__.get(name)


def _plain(value: Any) -> object:
    return _file(value) if isinstance(value, FileStorage) else NotImplemented


def _file(file: FileStorage) -> dict[str, object]:
    length = file.content_length or _length(file)
    return {"name": key_fact(file.filename), "size": length, "type": file.content_type}


def _length(file: FileStorage) -> int | None:
    """Return a file's size by its end; the place where the app stands in it stays."""
    try:
        here = file.stream.tell()
        try:
            return file.stream.seek(0, 2)
        finally:
            file.stream.seek(here)
    except (OSError, ValueError, AttributeError):
        return None
