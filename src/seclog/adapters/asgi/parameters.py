"""What a request asked for, as facts of an error entry. Only what the app has read already is looked at."""

import json
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import Any, Final
from urllib.parse import parse_qsl

from seclog.adapters._params import MAX_JSON, MAX_PARAMETERS, json_facts, key_fact, pair_facts, query_facts
from seclog.adapters.asgi.request import RequestScope

_MAX_FIELDS: Final = 1000


def parameters(scope: RequestScope) -> dict[str, object]:
    """Return what the client sent, as far as somebody has read it. Of a file only name, size and type."""
    found: dict[str, object] = {}
    query = scope.asgi.get("query_string")
    if query:
        found["query"] = query_facts(query.decode("latin-1"))
    kind = scope.content_type
    if kind.endswith(("/json", "+json")):
        body = f"[JSON of {scope.body_size} bytes]" if scope.body_size > MAX_JSON else json_facts(kind, scope.body)
        if body is not None:
            found["body"] = body
        return found
    form, files = _form(scope)
    if form:
        found["form"] = pair_facts((name, [value]) for name, value in form)
    if files:
        found["files"] = files[:MAX_PARAMETERS]
    return found


def typed(scope: RequestScope) -> Iterator[tuple[str, Any]]:
    """Return names and values of the form, or of the JSON object, that the app has read."""
    if scope.content_type.endswith(("/json", "+json")):
        try:
            body = json.loads(scope.body or b"null")
        except (ValueError, RecursionError):
            return
        if isinstance(body, Mapping):
            yield from body.items()
    else:
        yield from _form(scope)[0]


Form = tuple[list[tuple[str, str]], list[dict[str, object]]]


def _form(scope: RequestScope) -> Form:
    if not scope.body:
        return [], []
    match scope.content_type:
        case "application/x-www-form-urlencoded":
            text = scope.body.decode("latin-1")
            try:
                pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS)
            except ValueError:  # too many
                return [("…", f"[{text.count('&') + 1} fields]")], []
            return pairs, []
        case "multipart/form-data":
            return _parts(scope.sent(b"content-type") or "", scope.body)
    return [], []


def _parts(content_type: str, body: bytes) -> Form:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    whole = BytesParser(policy=compat32).parsebytes(head + body)
    fields: list[tuple[str, str]] = []
    files: list[dict[str, object]] = []
    parts = whole.get_payload() if whole.is_multipart() else []
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, Message):
            continue
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        content = content if isinstance(content, bytes) else b""
        file_name = part.get_filename()
        if file_name is not None:
            files.append({"name": key_fact(file_name), "size": len(content), "type": part.get_content_type()})
        elif isinstance(name, str):
            fields.append((name, content.decode("utf-8", "replace")))
    return fields, files
