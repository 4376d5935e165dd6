"""Files that leave, and reads below sensitive paths, by what a response's headers say: the same in every framework.

The adapter says how a header is looked up, and when the last byte has left; one event comes out a download.
"""

from collections.abc import Callable
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote

from seclog import api
from seclog.adapters._hooks import complain
from seclog.context import Scope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

Header = Callable[[str], str | None]
"""Looks up one of the response's headers by its lower-case name."""

DISPOSITION: Final = "content-disposition"
_HANDED_OVER: Final = ("x-accel-redirect", "x-sendfile", "x-lighttpd-send-file")
"""The web server sends the file that these headers name; the app's own answer is empty."""
TELLING: Final = frozenset((DISPOSITION, *_HANDED_OVER))
"""Headers that say that a file leaves."""

_MAX_DISPOSITION: Final = 4096
_MAX_NAME: Final = 255  # what file systems allow


# ── which file ──────────────────────────────────────────────────────────────────────────────────────────────


def is_handed_over(header: Header) -> bool:
    """Tell whether the web server sends the file itself."""
    return any(header(name) is not None for name in _HANDED_OVER)


def is_inline(disposition: str) -> bool:
    """Tell whether a Content-Disposition is for show. All but `inline` counts as attachment (RFC 6266 §4.2)."""
    return disposition.lstrip().lower().startswith("inline")


def facts(header: Header, status: int | None, path: str, opened: str | None = None) -> dict[str, object]:
    """Return what an entry says about the file that leaves.

    Args:
        header: the response's headers.
        status: its status.
        path: the request's path, without secrets.
        opened: the name of the file that the app opened for it, if that is known.
    """
    fields: dict[str, object] = {"seclog.target.id": path, "file.name": _name(header, opened or path)}
    content_range = header("content-range")
    if status == 206 and content_range is not None:
        fields["seclog.file.range"] = content_range
    return fields


def _name(header: Header, otherwise: str) -> str:
    """Return a file's name: the header's, the handed over file's, or the last part of another path."""
    name = file_name(header(DISPOSITION) or "")
    if not name:
        handed_over = next((value for key in _HANDED_OVER if (value := header(key))), None)
        name = otherwise if handed_over is None else unquote(handed_over)
    return PurePosixPath(name).name[:_MAX_NAME]


def file_name(disposition: str) -> str | None:
    """Return the name in a Content-Disposition header; `filename*` wins over `filename` (RFC 6266 §4.3)."""
    if not disposition or len(disposition) > _MAX_DISPOSITION:
        return None
    if disposition.startswith("=?"):  # Django's way to send what Latin-1 cannot
        disposition = str(make_header(decode_header(disposition)))
    message = Message()
    message[DISPOSITION] = disposition
    parameters: list[tuple[str, Any]] = message.get_params(failobj=[], header=DISPOSITION)
    names = [value for key, value in parameters if key == "filename"]
    if not names:
        return None
    return collapse_rfc2231_value(next((name for name in names if isinstance(name, tuple)), names[0]))


def promised(header: Header) -> int | None:
    """Return how many bytes are said to leave; None if that is not said."""
    length = header("content-length") or ""
    return int(length) if length.isascii() and length.isdecimal() else None


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────────────────


class Outgoing:
    """A download whose end is not known yet; recorded once, when it ends.

    As a context manager around the sending of all chunks it ends with them, or with the error that breaks them.

    Args:
        scope: the request's; it may be over before the download is.
        fields: what is known of the file; None if nothing leaves yet.

    Attributes:
        sent: how many bytes the server took; None if that cannot be known.
    """

    def __init__(self, scope: Scope, fields: dict[str, object] | None) -> None:
        self.scope = scope
        self.fields = fields
        self.sent: int | None = 0
        self.is_over = False

    def __enter__(self) -> None:
        """Begin to send."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End, unless nobody asks for more: who that is, the response's closing tells."""
        if error is None:
            self.end("success")
        elif isinstance(error, Exception):
            self.end("failure", type(error).__name__)

    def count(self, chunk: bytes) -> None:
        """Take note of a chunk that the server has taken."""
        if self.sent is not None:
            self.sent += len(chunk)

    def end(self, outcome: str, error_type: str | None = None, size: int | None = None) -> None:
        """Record the download, once.

        Args:
            outcome: "success" or "failure"; a failure without an error is a client that went away.
            error_type: the class of what broke it.
            size: how much leaves, where that is told before it has left.

        Raises:
            NotRecordedError: only with `size`, while there is something left to refuse.
        """
        installation = api.installed()
        if self.is_over or self.fields is None or installation is None:
            return
        self.is_over = True
        fields = dict(self.fields)
        if self.sent is not None:
            fields["seclog.bytes"] = self.sent if size is None else size
        if error_type is not None:
            fields["error.type"] = error_type
        reason = None if outcome == "success" else "aborted" if error_type is None else "error"
        event = Event(type=EventType.DATA_DOWNLOAD, outcome=outcome, reason=reason, fields=fields)
        try:
            installation.recorder.record(event, self.scope)
        except NotRecordedError as failure:
            if size is not None:
                raise
            complain("recording a download", failure)  # the bytes are gone: there is nothing left to refuse


# ── sensitive paths ─────────────────────────────────────────────────────────────────────────────────────────


def is_sensitive(method: str | None, path: str) -> bool:
    """Tell whether a request reads below a path that the settings call sensitive."""
    prefixes = _prefixes()
    return bool(prefixes) and method == "GET" and path.startswith(prefixes)


def tell_read(path: str, censored: str) -> None:
    """Record a read below a sensitive path.

    Args:
        path: the request's path.
        censored: the same without secrets.
    """
    prefix = max((prefix for prefix in _prefixes() if path.startswith(prefix)), key=len)
    fields: dict[str, object] = {"seclog.target.type": prefix, "seclog.target.id": censored, "seclog.count": 1}
    api.record(Event(type=EventType.SENSITIVE_READ, fields=fields))


def _prefixes() -> tuple[str, ...]:
    installation = api.installed()
    return () if installation is None else installation.settings.sensitive_paths
