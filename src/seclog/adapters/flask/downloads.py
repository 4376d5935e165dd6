"""Family 5: files that leave the app, and reads below the paths that the settings call sensitive.

Traps handled here (research/hooks.md §3): a file that the server sends itself is never touched, it would lose
sendfile, and its size is the promised one; a generator's end is known only when the server has read it, long after
the request is over, so the scope is kept; a client that goes away is noticed because the server closes the
response before it ended.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from types import FrameType
from typing import Any, Final
from urllib.parse import unquote

from werkzeug.http import parse_options_header
from werkzeug.wrappers import Response

from seclog import api
from seclog.adapters._hooks import complain
from seclog.adapters._status import REFUSAL
from seclog.adapters.flask.errors import is_static
from seclog.adapters.flask.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_CALL: Final = Response.__call__.__code__
_MAX_FRAMES: Final = 24  # ours, and those of middlewares in between
_MAX_DISPOSITION: Final = 4096
_MAX_NAME: Final = 255  # what file systems allow

# The web server sends the file that these headers name; the app's own answer is empty.
_HANDED_OVER: Final = ("x-accel-redirect", "x-sendfile", "x-lighttpd-send-file")
TELLING: Final = frozenset(("content-disposition", *_HANDED_OVER))
"""Headers that say that a file leaves."""


def observe(scope: RequestScope) -> None:
    """Record what leaves: a download now, or when its stream ends."""
    if scope.status is None or scope.status >= 300 or scope.method == "HEAD":
        return
    if _is_download(scope) and not is_static(scope):
        _record(scope)
    if is_sensitive(scope) and EventType.SENSITIVE_READ not in scope.recorded:
        _record_read(scope)


def _is_download(scope: RequestScope) -> bool:
    """Tell whether a response hands out a file. All but `inline` counts as attachment (RFC 6266 §4.2)."""
    if _is_handed_over(scope):
        return True
    disposition = scope.header("content-disposition")
    if disposition is None:
        return False
    if not disposition.lstrip().lower().startswith("inline"):
        return True
    response = _response()
    return response is not None and response.direct_passthrough  # `send_file`, shown instead of saved


def _is_handed_over(scope: RequestScope) -> bool:
    return any(scope.header(name) is not None for name in _HANDED_OVER)


def _record(scope: RequestScope) -> None:
    fields: dict[str, object] = {"seclog.target.id": scope.censored_path, "file.name": _name(scope)}
    content_range = scope.header("content-range")
    if scope.status == 206 and content_range is not None:
        fields["seclog.file.range"] = content_range
    if _is_streamed(scope):
        scope.stream = fields  # the door counts what leaves
        return
    length = scope.header("content-length") or ""
    if length.isascii() and length.isdecimal() and not _is_handed_over(scope):
        fields["seclog.bytes"] = int(length)
    api.record(Event(type=EventType.DATA_DOWNLOAD, fields=fields))


def _is_streamed(scope: RequestScope) -> bool:
    if _is_handed_over(scope):
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


def _name(scope: RequestScope) -> str:
    """Return the name of the file that leaves: the header's, the handed over file's, or the path's last part."""
    disposition = scope.header("content-disposition") or ""
    name = None
    if len(disposition) <= _MAX_DISPOSITION:
        name = parse_options_header(disposition)[1].get("filename")  # `filename*` wins (RFC 6266 §4.3)
    if not name:
        handed_over = next((value for header in _HANDED_OVER if (value := scope.header(header))), None)
        name = scope.censored_path if handed_over is None else unquote(handed_over)
    return PurePosixPath(name).name[:_MAX_NAME]


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────


class Stream:
    """A download whose end is not known yet: counts what the server took, and records once when it ends.

    A chunk counts when the next one is asked for: the server has handed it on by then.

    Args:
        scope: the request's; `scope.stream` is what is known of the download, once the response is started.
        chunks: what the app returned to the server.
    """

    def __init__(self, scope: RequestScope, chunks: Iterable[bytes]) -> None:
        self._scope = scope
        self._chunks = chunks
        self._sent = 0
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                if self._scope.was_refused:  # a middleware that starts its answer with the first chunk
                    yield REFUSAL.encode()
                    return
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
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()

    def _end(self, outcome: str, error_type: str | None = None) -> None:
        if self._over or self._scope.stream is None:
            return
        self._over = True
        reason = None if outcome == "success" else "aborted" if error_type is None else "error"
        fields: dict[str, object] = {**self._scope.stream, "seclog.bytes": self._sent}
        if error_type is not None:
            fields["error.type"] = error_type
        installation = api.installed()
        if installation is None:
            return
        event = Event(type=EventType.DATA_DOWNLOAD, outcome=outcome, reason=reason, fields=fields)
        try:
            installation.recorder.record(event, self._scope)
        except NotRecordedError as failure:  # the bytes are gone: there is nothing left to refuse
            complain("recording a download", failure)


# ── sensitive paths ─────────────────────────────────────────────────────────────────────────────────────────


def is_sensitive(scope: RequestScope) -> bool:
    """Tell whether a request reads below a path that the settings call sensitive."""
    prefixes = _prefixes()
    return bool(prefixes) and scope.method == "GET" and scope.path.startswith(prefixes)


def _prefixes() -> tuple[str, ...]:
    installation = api.installed()
    return () if installation is None else installation.settings.sensitive_paths


def _record_read(scope: RequestScope) -> None:
    path = scope.path
    prefix = max((prefix for prefix in _prefixes() if path.startswith(prefix)), key=len)
    fields: dict[str, Any] = {
        "seclog.target.type": prefix,
        "seclog.target.id": scope.censored_path,
        "seclog.count": 1,
    }
    api.record(Event(type=EventType.SENSITIVE_READ, fields=fields))
