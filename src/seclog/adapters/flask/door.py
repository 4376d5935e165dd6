"""The door: stands around `app.wsgi_app`, opens each request's scope, and looks at the response as it leaves.

What it sees is what the server gets: after all `after_request` functions, with the session's cookie, and also what an
error in such a function, or a WSGI middleware inside, made of it. So no request is lost between Flask's signals
(`request_finished` is not sent when an `after_request` function raises), and one that tells nothing costs no signal.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextvars import Token
from time import perf_counter_ns
from typing import Any, Final
from weakref import WeakSet

from flask import Flask

from seclog.adapters._hooks import complain
from seclog.adapters._scope import INNER, WebScope
from seclog.adapters._status import REFUSAL, RETRY_AFTER
from seclog.adapters.flask import response as observers
from seclog.adapters.flask.downloads import Stream
from seclog.adapters.flask.request import RequestScope
from seclog.adapters.flask.response import is_quiet
from seclog.context import enter, leave, leave_here
from seclog.errors import NotRecordedError

StartResponse = Callable[..., Any]
_NOTHING: Final = Token.MISSING
_REFUSAL_HEADERS: Final = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Length", str(len(REFUSAL))),
    ("Retry-After", RETRY_AFTER),
]


class Door:
    """The WSGI app around an app's own.

    Args:
        app: the Flask app.
        inner: its `wsgi_app` so far.
        begin: called before the first request of each process.
    """

    def __init__(self, app: Flask, inner: Callable[..., Any], begin: Callable[[], None]) -> None:
        self.app = app
        self.inner = inner
        self.has_begun = False
        self._begin = begin
        _doors.add(self)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        if not self.has_begun:
            self.has_begun = True
            self._begin()
        scope = Visit(self.app, environ, perf_counter_ns())
        scope.start_response = start_response
        token = enter(scope)
        outer = token.old_value
        if outer is not _NOTHING:
            _step_inside(scope, outer)
        inner = self.inner  # calling an attribute takes the interpreter longer
        try:
            chunks: Iterable[bytes] = inner(environ, scope.start)
        except NotRecordedError:
            if not scope.was_refused:  # the app's answer may be started, but none of it is sent yet
                _refuse(scope, start_response, sys.exc_info())
            return [REFUSAL.encode()]
        except BaseException as error:
            _left(scope, error)
            raise
        finally:
            leave_here(token)
        if scope.was_refused:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()  # what the app's answer holds open ends with ours
            return [REFUSAL.encode()]
        if scope.stream is None and scope.status is not None:
            return chunks
        return Stream(scope, chunks)  # or nothing is started yet: a middleware inside is a generator


_doors: Final[WeakSet[Door]] = WeakSet()


def _forked() -> None:
    for door in _doors:
        door.has_begun = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _step_inside(scope: RequestScope, outer: Any) -> None:
    """Tell the request around this one: where one app is mounted in another, the inner door knows more, and tells."""
    if isinstance(outer, WebScope):
        outer.note(INNER, scope)


class Visit(RequestScope):
    """A request on its way through the door.

    Attributes:
        start_response: the server's.
    """

    __slots__ = ("start_response",)

    start_response: StartResponse

    def start(self, status: str, headers: list[Any], exc_info: Any = None) -> Any:
        """Look at the response, then start it (PEP 3333 `start_response`). Stands in the way of every request."""
        start_response = self.start_response
        if self.status is None:
            self.status = code = int(status[:3])
            try:
                if not is_quiet(self, code, headers) and not self.is_told_inside():
                    self.headers = headers
                    _observe(self)
            except NotRecordedError:
                self.not_recorded()
            except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
                complain("looking at the response", error)
            if self.is_refused:
                return _refuse(self, start_response)
        return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)


def _observe(scope: RequestScope) -> None:
    token = enter(scope)  # a middleware inside may start its answer when we have left already
    try:
        scope.fill()  # Flask's context is gone when a stream ends
        observers.observe(scope)
    finally:
        leave(token)


def _refuse(scope: RequestScope, start_response: StartResponse, *exc_info: Any) -> Callable[[bytes], None]:
    """Start our answer for `on_failure="block"`: what cannot be recorded is not done."""
    scope.was_refused = True
    start_response("503 SERVICE UNAVAILABLE", list(_REFUSAL_HEADERS), *exc_info)
    return lambda data: None


def _left(scope: RequestScope, error: BaseException) -> None:
    """Record what is known when there is no response: the error goes on, whatever happens here."""
    try:
        if not scope.is_told_inside():
            observers.failed(scope, error)
    except Exception as failure:  # noqa: BLE001 - counted and logged by `complain`
        complain("looking at an exception", failure)
