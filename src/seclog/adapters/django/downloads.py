"""Family 5: files that leave the app, and reads below the paths that the settings call sensitive.

Traps handled here: `FileResponse.streaming_content` is never touched (it would lose sendfile); a generator's
end is known only when the server has read it, long after the request's scope was left, so the scope is kept;
a client that goes away is noticed because the server closes the response before its iterator ended.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from django.conf import settings as django_settings
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from seclog import api
from seclog.adapters import _downloads
from seclog.adapters._downloads import (
    DISPOSITION,
    TELLING,
    Outgoing,
    facts,
    file_name,
    is_handed_over,
    is_inline,
    promised,
)
from seclog.adapters.django import request as scopes
from seclog.adapters.django.request import RequestScope
from seclog.events import Event, EventType

__all__ = ["file_name", "has_data", "is_download", "is_sensitive", "is_static_path", "observe"]


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
        _downloads.tell_read(request.path, scopes.censored_path(request))


def is_download(response: HttpResponseBase) -> bool:
    """Tell whether a response hands out a file."""
    if isinstance(response, FileResponse):
        return True
    names = getattr(response.headers, "_store", None)  # `in headers` raises and catches for every name that is absent
    if names is None:
        names = {name.lower() for name in response.headers}
    if TELLING.isdisjoint(names):
        return False
    header = response.headers.get
    disposition = header(DISPOSITION)
    return disposition is None or not is_inline(disposition) or is_handed_over(header)


def _is_static(request: HttpRequest, response: HttpResponseBase) -> bool:
    """The app's own scripts and pictures are no data. WhiteNoise also serves them below the root."""
    return is_static_path(request.path) or type(response).__module__.partition(".")[0] == "whitenoise"


def is_static_path(path: str) -> bool:
    """Tell whether a path lies below STATIC_URL; one that climbs (`..`) does not."""
    prefix = django_settings.STATIC_URL
    return bool(prefix) and len(prefix) > 1 and path.startswith(prefix) and ".." not in path


def _record(scope: RequestScope, request: HttpRequest, response: HttpResponseBase) -> None:
    fields = _facts(request, response)
    if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
        _Stream(scope, response, fields)
        return
    size = _size(response)
    if size is not None:
        fields["seclog.bytes"] = size
    api.record(Event(type=EventType.DATA_DOWNLOAD, fields=fields))


def _facts(request: HttpRequest, response: HttpResponseBase) -> dict[str, object]:
    opened = getattr(getattr(response, "file_to_stream", None), "name", None)
    path = scopes.censored_path(request)
    return facts(response.headers.get, response.status_code, path, opened if isinstance(opened, str) else None)


def _size(response: HttpResponseBase) -> int | None:
    """Return how many bytes leave, as far as the app knows: not when the web server sends the file itself."""
    if is_handed_over(response.headers.get):
        return None
    size = promised(response.headers.get)
    return size if size is not None or response.streaming else len(response.content)


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────


class _Stream(Outgoing):
    """A download that a generator makes; it is put between the response and the server.

    A chunk counts when the next one is asked for: the server has handed it on by then.
    """

    def __init__(self, scope: RequestScope, response: Any, fields: dict[str, object]) -> None:
        super().__init__(scope, fields)
        chunks = response.streaming_content
        response.streaming_content = self._acount(chunks) if response.is_async else self._count(chunks)
        self._close = response.close
        response.close = self.close

    def _count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        with self:
            for chunk in chunks:
                yield chunk
                self.count(chunk)

    async def _acount(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        with self:
            async for chunk in chunks:
                yield chunk
                self.count(chunk)

    def close(self) -> None:
        """Close the response; a stream that did not end by then was left by its client."""
        try:
            self.end("failure")
        finally:
            self._close()


# ── sensitive paths ─────────────────────────────────────────────────────────────────────────────────────────


def is_sensitive(request: HttpRequest) -> bool:
    """Tell whether a request reads below a path that the settings call sensitive."""
    return _downloads.is_sensitive(request.method, request.path)
