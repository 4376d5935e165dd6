"""Family 5: files that leave the app, and reads below the paths that the settings call sensitive.

Traps handled here: `FileResponse.streaming_content` is never touched (it would lose sendfile); a generator's
end is known only when the server has read it, long after the request's scope was left, so the scope is kept;
a client that goes away is noticed because the server closes the response before its iterator ended.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from django.conf import settings as django_settings
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from seclog import api
from seclog.adapters._hooks import complain
from seclog.adapters.django import request as scopes
from seclog.adapters.django.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_MAX_DISPOSITION: Final = 4096
_MAX_NAME: Final = 255  # what file systems allow

# The web server sends the file that these headers name; the app's own answer is empty.
_HANDED_OVER: Final = ("X-Accel-Redirect", "X-Sendfile", "X-Lighttpd-Send-File")
_TELLING: Final = frozenset(name.lower() for name in ("Content-Disposition", *_HANDED_OVER))


def has_data(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether data worth an entry leaves: a file, or what lies below a sensitive path."""
    if response.status_code >= 300 or request.method == "HEAD":
        return False
    return is_sensitive(request) or (is_download(response) and not _is_static(request, response))


def observe(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    """Record what leaves: a download now, or when its stream ends."""
    if is_download(response) and not _is_static(request, response):
        _record(scope, request, response)
    if is_sensitive(request) and not (scope.recorded and EventType.SENSITIVE_READ in scope.recorded):
        _record_read(request)


def is_download(response: HttpResponseBase) -> bool:
    """Tell whether a response hands out a file. All but `inline` counts as attachment (RFC 6266 §4.2)."""
    if isinstance(response, FileResponse):
        return True
    names = getattr(response.headers, "_store", None)  # `in headers` raises and catches for every name that is absent
    if names is None:
        names = {name.lower() for name in response.headers}
    if _TELLING.isdisjoint(names):
        return False
    disposition = response.headers.get("Content-Disposition")
    return disposition is None or not disposition.lstrip().lower().startswith("inline") or _is_handed_over(response)


def _is_handed_over(response: HttpResponseBase) -> bool:
    return any(header in response.headers for header in _HANDED_OVER)


def _is_static(request: HttpRequest, response: HttpResponseBase) -> bool:
    """The app's own scripts and pictures are no data. WhiteNoise also serves them below the root."""
    return is_static_path(request.path) or type(response).__module__.partition(".")[0] == "whitenoise"


def is_static_path(path: str) -> bool:
    """Tell whether a path lies below STATIC_URL; one that climbs (`..`) does not."""
    prefix = django_settings.STATIC_URL
    return bool(prefix) and len(prefix) > 1 and path.startswith(prefix) and ".." not in path


def _record(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    fields: dict[str, object] = {
        "seclog.target.id": scopes.censored_path(request),
        "file.name": name_of(request, response),
    }
    if response.status_code == 206 and "Content-Range" in response.headers:
        fields["seclog.file.range"] = response.headers["Content-Range"]
    if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
        _Stream(scope, response, fields)
        return
    size = _size(response)
    if size is not None:
        fields["seclog.bytes"] = size
    api.record(Event(type=EventType.DATA_DOWNLOAD, fields=fields))


def _size(response: HttpResponseBase) -> int | None:
    """Return how many bytes leave, as far as the app knows: not when the web server sends the file itself."""
    headers = response.headers
    if _is_handed_over(response):
        return None
    length = str(headers.get("Content-Length", ""))
    if length.isascii() and length.isdecimal():
        return int(length)
    return None if response.streaming else len(response.content)


# ── the file's name ─────────────────────────────────────────────────────────────────────────────────────────


def name_of(request: HttpRequest, response: HttpResponseBase) -> str:
    """Return the name of the file that leaves: the header's, the file's own, or the path's last part."""
    headers = response.headers
    name = file_name(headers["Content-Disposition"]) if "Content-Disposition" in headers else None
    if not name:
        handed_over = next((headers[header] for header in _HANDED_OVER if header in headers), None)
        opened = getattr(getattr(response, "file_to_stream", None), "name", None)
        if handed_over is not None:
            name = unquote(handed_over)
        else:
            name = opened if isinstance(opened, str) else scopes.censored_path(request)
    return PurePosixPath(name).name[:_MAX_NAME]


def file_name(disposition: str) -> str | None:
    """Return the name in a Content-Disposition header; `filename*` wins over `filename` (RFC 6266 §4.3)."""
    if len(disposition) > _MAX_DISPOSITION:
        return None
    if disposition.startswith("=?"):  # Django's way to send what Latin-1 cannot
        disposition = str(make_header(decode_header(disposition)))
    message = Message()
    message["Content-Disposition"] = disposition
    parameters: list[tuple[str, Any]] = message.get_params(failobj=[], header="content-disposition")
    names = [value for key, value in parameters if key == "filename"]
    if not names:
        return None
    return collapse_rfc2231_value(next((name for name in names if isinstance(name, tuple)), names[0]))


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────


class _Stream:
    """A download whose end is not known yet: counts what the server took, and records once when it ends.

    A chunk counts when the next one is asked for: the server has handed it on by then.
    """

    def __init__(self, scope: RequestScope, response: Any, fields: dict[str, object]) -> None:
        self._scope = scope
        self._fields = fields
        self._sent = 0
        self._over = False
        chunks = response.streaming_content
        response.streaming_content = self._acount(chunks) if response.is_async else self._count(chunks)
        self._close = response.close
        response.close = self.close

    def _count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield chunk
                self._sent += len(chunk)
        except Exception as error:
            self._end("failure", type(error).__name__)
            raise
        self._end("success")

    async def _acount(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
                self._sent += len(chunk)
        except Exception as error:
            self._end("failure", type(error).__name__)
            raise
        self._end("success")

    def close(self) -> None:
        """Close the response; a stream that did not end by then was left by its client."""
        try:
            self._end("failure")
        finally:
            self._close()

    def _end(self, outcome: str, error_type: str | None = None) -> None:
        if self._over:
            return
        self._over = True
        reason = None if outcome == "success" else "aborted" if error_type is None else "error"
        fields = {**self._fields, "seclog.bytes": self._sent}
        if error_type is not None:
            fields["error.type"] = error_type
        event = Event(type=EventType.DATA_DOWNLOAD, outcome=outcome, reason=reason, fields=fields)
        installation = api.installed()
        if installation is None:
            return
        try:
            installation.recorder.record(event, self._scope)
        except NotRecordedError as failure:  # the bytes are gone: there is nothing left to refuse
            complain("recording a download", failure)


# ── sensitive paths ─────────────────────────────────────────────────────────────────────────────────────────


def is_sensitive(request: HttpRequest) -> bool:
    """Tell whether a request reads below a path that the settings call sensitive."""
    return request.method == "GET" and bool(request.path.startswith(_prefixes()))


def _prefixes() -> tuple[str, ...]:
    installation = api.installed()
    return () if installation is None else installation.settings.sensitive_paths


def _record_read(request: HttpRequest) -> None:
    prefix = max((prefix for prefix in _prefixes() if request.path.startswith(prefix)), key=len)
    fields = {
        "seclog.target.type": prefix,
        "seclog.target.id": scopes.censored_path(request),
        "seclog.count": 1,
    }
    api.record(Event(type=EventType.SENSITIVE_READ, fields=fields))
