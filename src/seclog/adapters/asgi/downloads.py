"""Family 5: files that leave the app, reads below the paths that the settings call sensitive, and endpoints that say
with `Depends(audit_access(…))` what is read there.

Traps handled here (research/hooks.md §4): a file that the server sends itself (`http.response.pathsend`) never passes
here, and its size is the promised one; a client that goes away shows as `http.disconnect` in `receive`, as an `OSError`
in `send`, or not at all but for a response without an end, depending on the server.
"""

from email.message import Message
from email.utils import collapse_rfc2231_value
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from seclog import api
from seclog.adapters._hooks import complain
from seclog.adapters.asgi.errors import is_static
from seclog.adapters.asgi.request import RequestScope
from seclog.errors import NotRecordedError
from seclog.events import Event, EventType

_MAX_DISPOSITION: Final = 4096
_MAX_NAME: Final = 255  # what file systems allow

# The web server sends the file that these headers name; the app's own answer is empty.
_HANDED_OVER: Final = (b"x-accel-redirect", b"x-sendfile", b"x-lighttpd-send-file")
TELLING: Final = frozenset((b"content-disposition", *_HANDED_OVER))
"""Headers that say that a file leaves."""

AUDITED: Final = "audited access"
"""The note under which `audit_access` leaves the events of data that the endpoint reads."""


def begin(scope: RequestScope) -> "Download | None":
    """Record the reads that a starting response tells; return the download that begins with it, if one does."""
    if scope.status is None or scope.status >= 400:
        return None
    for event in scope.noted(AUDITED) or ():
        api.record(event)
    if scope.status >= 300 or scope.method == "HEAD":
        return None
    if is_sensitive(scope) and EventType.SENSITIVE_READ not in scope.recorded:
        _record_read(scope)
    return Download(scope) if _is_download(scope) and not is_static(scope) else None


def _is_download(scope: RequestScope) -> bool:
    """Tell whether a response hands out a file. All but `inline` counts as attachment (RFC 6266 §4.2)."""
    if _is_handed_over(scope):
        return True
    disposition = scope.header(b"content-disposition")
    return disposition is not None and not disposition.lstrip().lower().startswith("inline")


def _is_handed_over(scope: RequestScope) -> bool:
    return any(scope.header(name) is not None for name in _HANDED_OVER)


class Download:
    """A file on its way: counts what the server took, and records once when it ends.

    Attributes:
        is_begun: whether any of it has left.
        is_gone: whether the client went away.
    """

    __slots__ = ("_is_over", "_scope", "_sent", "is_begun", "is_gone")

    def __init__(self, scope: RequestScope) -> None:
        self._scope = scope
        self._sent: int | None = None if _is_handed_over(scope) else 0
        self._is_over = False
        self.is_begun = False
        self.is_gone = False

    def took(self, message: Any) -> None:
        """Take note of a message that the server has taken; the last one ends the download."""
        self.is_begun = True
        match message["type"]:
            case "http.response.body":
                if self._sent is not None and not self.is_gone:
                    self._sent += len(message.get("body", b""))
                if not message.get("more_body", False):
                    self.end("failure" if self.is_gone else "success")
            case "http.response.pathsend" | "http.response.zerocopysend":
                length = self._scope.header(b"content-length") or ""
                self._sent = int(length) if length.isascii() and length.isdecimal() else None
                self.end("success")

    def end(self, outcome: str, error_type: str | None = None, size: int | None = None) -> None:
        """Record the download, once.

        Args:
            outcome: "success" or "failure"; a failure without an error is a client that went away.
            error_type: the class of what broke it.
            size: how much leaves, where that is told before it has left.

        Raises:
            NotRecordedError: only with `size`, while there is something left to refuse.
        """
        if self._is_over:
            return
        self._is_over = True
        scope = self._scope
        installation = api.installed()
        if installation is None:
            return
        fields: dict[str, object] = {"seclog.target.id": scope.censored_path, "file.name": _name(scope)}
        content_range = scope.header(b"content-range")
        if scope.status == 206 and content_range is not None:
            fields["seclog.file.range"] = content_range
        sent = size if size is not None and self._sent is not None else self._sent
        if sent is not None:
            fields["seclog.bytes"] = sent
        if error_type is not None:
            fields["error.type"] = error_type
        reason = None if outcome == "success" else "aborted" if error_type is None else "error"
        event = Event(type=EventType.DATA_DOWNLOAD, outcome=outcome, reason=reason, fields=fields)
        try:
            installation.recorder.record(event, scope)
        except NotRecordedError as failure:
            if size is not None:
                raise
            complain("recording a download", failure)  # the bytes are gone: there is nothing left to refuse


def _name(scope: RequestScope) -> str:
    """Return the name of the file that leaves: the header's, the handed over file's, or the path's last part."""
    name = _header_name(scope.header(b"content-disposition") or "")
    if not name:
        handed_over = next((value for header in _HANDED_OVER if (value := scope.header(header))), None)
        name = scope.censored_path if handed_over is None else unquote(handed_over)
    return PurePosixPath(name).name[:_MAX_NAME]


def _header_name(disposition: str) -> str | None:
    """Return the name in a Content-Disposition header; `filename*` wins over `filename` (RFC 6266 §4.3)."""
    if not disposition or len(disposition) > _MAX_DISPOSITION:
        return None
    message = Message()
    message["Content-Disposition"] = disposition
    parameters: list[tuple[str, Any]] = message.get_params(failobj=[], header="content-disposition")
    names = [value for key, value in parameters if key == "filename"]
    if not names:
        return None
    return collapse_rfc2231_value(next((name for name in names if isinstance(name, tuple)), names[0]))


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
    fields: dict[str, object] = {
        "seclog.target.type": prefix,
        "seclog.target.id": scope.censored_path,
        "seclog.count": 1,
    }
    api.record(Event(type=EventType.SENSITIVE_READ, fields=fields))
