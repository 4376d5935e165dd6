"""Family 5: files that leave the app, reads below the paths that the settings call sensitive, and endpoints that say
with `Depends(audit_access(…))` what is read there.

Traps handled here (research/hooks.md §4): a file that the server sends itself (`http.response.pathsend`) never passes
here, and its size is the promised one; a client that goes away shows as `http.disconnect` in `receive`, as an `OSError`
in `send`, or not at all but for a response without an end, depending on the server.
"""

from typing import Any, Final

from seclog import api
from seclog.adapters import _downloads
from seclog.adapters._downloads import DISPOSITION, Header, Outgoing, facts, is_handed_over, is_inline, promised
from seclog.adapters.asgi.errors import is_static
from seclog.adapters.asgi.request import RequestScope
from seclog.events import EventType

TELLING: Final = frozenset(name.encode() for name in _downloads.TELLING)
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
        _downloads.tell_read(scope.path, scope.censored_path)
    return Download(scope) if _is_download(_headers(scope)) and not is_static(scope) else None


def is_sensitive(scope: RequestScope) -> bool:
    """Tell whether a request reads below a path that the settings call sensitive."""
    return _downloads.is_sensitive(scope.method, scope.path)


def _headers(scope: RequestScope) -> Header:
    return lambda name: scope.header(name.encode())


def _is_download(header: Header) -> bool:
    """Tell whether a response hands out a file, to be saved or, as the other frameworks count it, to be shown.

    A `FileResponse` is known by its offer of byte ranges; text that is only marked as inline is no file.
    """
    if is_handed_over(header):
        return True
    disposition = header(DISPOSITION)
    return disposition is not None and (not is_inline(disposition) or header("accept-ranges") == "bytes")


class Download(Outgoing):
    """A file on its way: counts what the server took, and records once when it ends.

    Attributes:
        is_begun: whether any of it has left.
        is_gone: whether the client went away.
    """

    def __init__(self, scope: RequestScope) -> None:
        self._header = _headers(scope)
        super().__init__(scope, facts(self._header, scope.status, scope.censored_path))
        if is_handed_over(self._header):
            self.sent = None
        self.is_begun = False
        self.is_gone = False

    def took(self, message: Any) -> None:
        """Take note of a message that the server has taken; the last one ends the download."""
        self.is_begun = True
        match message["type"]:
            case "http.response.body":
                if not self.is_gone:
                    self.count(message.get("body", b""))
                if not message.get("more_body", False):
                    self.end("failure" if self.is_gone else "success")
            case "http.response.pathsend" | "http.response.zerocopysend":
                self.sent = promised(self._header)
                self.end("success")
