"""Family 5: files that leave the app, and reads below the paths that the settings call sensitive.

Traps handled here (research/hooks.md §3): a file that the server sends itself is never touched, it would lose
sendfile, and its size is the promised one; a generator's end is known only when the server has read it, long after
the request is over, so the scope is kept; a client that goes away is noticed because the server closes the
response before it ended.
"""

import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Final

from werkzeug.wrappers import Response

from seclog import api
from seclog.adapters import _downloads
from seclog.adapters._downloads import (
    DISPOSITION,
    TELLING,
    Outgoing,
    facts,
    is_handed_over,
    is_inline,
    promised,
)
from seclog.adapters._status import REFUSAL
from seclog.adapters.flask.errors import is_static
from seclog.adapters.flask.request import RequestScope
from seclog.events import Event, EventType

__all__ = ["TELLING", "Stream", "is_sensitive", "observe"]

_CALL: Final = Response.__call__.__code__
_MAX_FRAMES: Final = 24  # ours, and those of middlewares in between


def observe(scope: RequestScope) -> None:
    """Record what leaves: a download now, or when its stream ends."""
    if scope.status is None or scope.status >= 300 or scope.method == "HEAD":
        return
    if _is_download(scope) and not is_static(scope):
        _record(scope)
    if is_sensitive(scope) and EventType.SENSITIVE_READ not in scope.recorded:
        _downloads.tell_read(scope.path, scope.censored_path)


def is_sensitive(scope: RequestScope) -> bool:
    """Tell whether a request reads below a path that the settings call sensitive."""
    return _downloads.is_sensitive(scope.method, scope.path)


def _is_download(scope: RequestScope) -> bool:
    """Tell whether a response hands out a file."""
    if is_handed_over(scope.header):
        return True
    disposition = scope.header(DISPOSITION)
    if disposition is None:
        return False
    if not is_inline(disposition):
        return True
    response = _response()
    return response is not None and response.direct_passthrough  # `send_file`, shown instead of saved


def _record(scope: RequestScope) -> None:
    fields = facts(scope.header, scope.status, scope.censored_path)
    if _is_streamed(scope):
        scope.stream = fields  # the door counts what leaves
        return
    size = promised(scope.header)
    if size is not None and not is_handed_over(scope.header):
        fields["seclog.bytes"] = size
    api.record(Event(type=EventType.DATA_DOWNLOAD, fields=fields))


def _is_streamed(scope: RequestScope) -> bool:
    if is_handed_over(scope.header):
        return False
    response = _response()
    if response is None:  # a WSGI middleware answered
        return scope.header("content-length") is None
    return response.is_streamed and not response.direct_passthrough


def _response() -> Response | None:
    """Return the response that is about to leave; it alone knows whether it is a file, a stream or in memory.

    It is found on the stack, where it has just called `start_response`: to wrap something for it would cost every
    request what only downloads need.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        if frame is None:
            break
        if frame.f_code is _CALL:
            found = frame.f_locals.get("self")
            return found if isinstance(found, Response) else None
        frame = frame.f_back
    return None


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────


class Stream(Outgoing):
    """A response that may turn out to be a download: `scope.stream` says so, once the response is started.

    A chunk counts when the next one is asked for: the server has handed it on by then.

    Args:
        scope: the request's.
        chunks: what the app returned to the server.
    """

    def __init__(self, scope: RequestScope, chunks: Iterable[bytes]) -> None:
        super().__init__(scope, None)
        self._request = scope
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        with self:
            for chunk in self._chunks:
                if self._request.was_refused:  # a middleware that starts its answer with the first chunk
                    self._request.stream = None  # nothing of it leaves
                    yield REFUSAL.encode()
                    return
                yield chunk
                self.count(chunk)

    def end(self, outcome: str, error_type: str | None = None, size: int | None = None) -> None:
        """Record the download, if it is one."""
        self.fields = self._request.stream
        super().end(outcome, error_type, size)

    def close(self) -> None:
        """Close the response; a stream that did not end by then was left by its client."""
        try:
            self.end("failure")
        finally:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
