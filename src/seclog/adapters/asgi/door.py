"""The door: a pure ASGI middleware. Opens each request's scope, and looks at what the app sends on its way out.

Pure, since a `BaseHTTPMiddleware` loses context variables and turns every response into a stream. With `install` it
stands around everything, Starlette's `ServerErrorMiddleware` included: what it sees is what the server gets. With
`add_middleware` it stands inside of that, and an unhandled exception is one without a response.

Of two doors around one request (`install` and a middleware, or two apps of which one is mounted in the other) the
outer one tells: the frameworks' own entries in the ASGI scope are there for both.
"""

import asyncio
import inspect
import sys
from collections.abc import Awaitable
from importlib.util import find_spec
from time import perf_counter_ns
from typing import Any, Final

from seclog.adapters._hooks import complain
from seclog.adapters._status import REFUSAL, RETRY_AFTER
from seclog.adapters.asgi import denials, errors, hooks, sessions, startup
from seclog.adapters.asgi import response as observers
from seclog.adapters.asgi.downloads import Download
from seclog.adapters.asgi.lookout import Lookout
from seclog.adapters.asgi.request import RequestScope
from seclog.adapters.asgi.response import is_quiet
from seclog.adapters.asgi.startup import App, Message, Receive, Send
from seclog.context import enter, leave, leave_here
from seclog.errors import MissingExtraError, NotRecordedError

_MARK: Final = "seclog_door"
"""Key in the ASGI scope: a door stands around this request already."""
_REFUSAL_HEADERS: Final = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(REFUSAL)).encode()),
    (b"retry-after", RETRY_AFTER.encode()),
]


class SecurityEventMiddleware:
    """Records the security events of an ASGI app.

    A process has one record. The first app's settings open it; further apps join it.

    Args:
        app: the app inside.
        settings: seclog's settings; None if `seclog.configure` was or will be called, or for the defaults.
        login_heuristic: whether to recognise logins that no library and no call of the app tells; see `login`.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(self, app: App, settings: Any = None, *, login_heuristic: bool = True) -> None:
        self.app = app
        self.login_heuristic = login_heuristic
        startup.set_up(settings)
        self.session_middleware = sessions.middleware_in(app)
        errors.watch_handlers(app)
        hooks.connect_all(app)
        self._forks = -1

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        kind = scope["type"]
        if _MARK in scope:
            await self.app(scope, receive, send)
            return
        if self._forks != startup.forks:  # the first connection, also after a fork
            self._forks = startup.forks
            hooks.connect_all(self.app)
            startup.tell_startup()
        if kind == "http":
            scope[_MARK] = True
            visit: Visit = Visit(self, scope, receive, send)
        elif kind == "websocket":
            scope[_MARK] = True
            visit = WebSocketVisit(self, scope, receive, send)
        else:
            await startup.live(self.app, scope, receive, send)
            return
        token = enter(visit)
        app = self.app  # calling an attribute takes the interpreter longer
        try:
            await app(scope, visit.receive, visit.send)
        except NotRecordedError:
            await visit.refuse()
        except BaseException as error:
            visit.left(error)
            if visit.is_refused:
                await visit.refuse()
            else:
                await visit.release()
            raise
        else:
            if visit.download is not None:
                visit.download.end("failure")  # it had no end: the client went away, and the app stopped
        finally:
            try:
                leave_here(token)
            except ValueError:  # a request that nobody finished, closed from elsewhere
                pass
            if visit.lookout is not None:
                visit.lookout.close()


def _coroutine_function(function: Any) -> Any:
    """Mark a function that returns an awaitable; asgiref and others ask before they call."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return function


async def _nothing() -> None:
    """Wait for nothing."""


class Visit(RequestScope):
    """An HTTP request on its way through the door.

    Attributes:
        download: the file that leaves, if one does.
        lookout: looks for the client while it does.
    """

    __slots__ = (
        "_door",
        "_has_left",
        "_held",
        "_is_answered_by_us",
        "_is_failure_told",
        "_is_passing",
        "_is_started",
        "_receive",
        "_send",
        "download",
        "lookout",
    )

    def __init__(self, door: SecurityEventMiddleware, asgi: Any, receive: Receive, send: Send) -> None:
        # All slots here, those of the bases too (a test sees to it): in every request, two calls are a percent.
        self._context = None
        self.started_ns = perf_counter_ns()
        self.harmless = ""
        self.recorded = ()
        self.exception = None
        self.denied_permission = None
        self.candidate = None
        self.status = None
        self.told = None
        self.is_refused = False
        self.asgi = asgi
        self.headers = ()
        self.body = None
        self.body_size = 0
        self._door = door
        self._receive = receive
        self._send = send
        self._has_left = False
        self._held: Message | None = None
        self._is_answered_by_us = False
        self._is_failure_told = False
        self._is_passing = False
        self._is_started = False
        self.download: Download | None = None
        self.lookout: Lookout | None = None

    @property
    def is_answered(self) -> bool:
        """Tell whether the response has started, or the handshake of a WebSocket is decided."""
        return self._is_started

    async def receive(self) -> Message:
        """Look at what the app reads; nothing is read for the sake of a log."""
        message = await (self._receive() if self.lookout is None else self.lookout.receive())
        kind = message["type"]
        if kind == "http.request":
            body = message.get("body")
            if body:
                self.read(body)
        elif kind == "http.disconnect" and self.download is not None:
            self.download.is_gone = True
        return message

    @_coroutine_function
    def send(self, message: Message) -> Awaitable[None]:
        """Look at what the app sends, and send it. No coroutine of ours where there is nothing to wait for."""
        send = self._send  # calling an attribute takes the interpreter longer
        if self._is_passing:
            return send(message)
        if self._is_answered_by_us or self.download is not None:
            return self._send_file(message)
        if message["type"] == "http.response.start":
            self._start(message)
            if self.is_refused:
                return self.refuse()
            if not self._is_passing and self.header(b"content-length") is not None:
                self._held = message  # until it is known whether all of it comes at once, and may be refused
                return _nothing()
            self._has_left = True
        return send(message)

    def _start(self, message: Message) -> None:
        if self._is_started:
            return
        self._is_started = True
        self.status = status = message["status"]
        headers = message.get("headers", ())
        if type(headers) is not list:
            headers = message["headers"] = list(headers)  # an iterable, which may be one that ends
        self.headers = headers
        try:
            if not is_quiet(self, status, self._door.session_middleware):
                if status >= 400:
                    errors.remember(self)
                self._observe()
        except NotRecordedError:
            self.not_recorded()
        except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
            complain("looking at the response", error)
        self._is_passing = self.download is None  # what follows tells nothing

    def _observe(self) -> None:
        self._is_failure_told = (self.status or 0) >= 400
        if self.is_told_inside():
            return
        token = enter(self)  # the app may send from another task than ours
        try:
            self.download = observers.observe(self, self._door.session_middleware, self._door.login_heuristic)
        finally:
            leave(token)

    async def _send_file(self, message: Message) -> None:
        download = self.download
        if self._is_answered_by_us or download is None:
            return
        if self._held is not None:
            body = message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                try:
                    download.end("success", size=len(body))
                except NotRecordedError:
                    await self.refuse()
                    return
            await self.release()
        if self.lookout is None and message.get("more_body", False) and not self._has_body():
            self.lookout = Lookout(self._receive)
        if self.lookout is not None and self.lookout.sees_nobody():
            download.is_gone = True
        try:
            await self._send(message)
        except OSError:  # as servers do since ASGI 2.4
            download.is_gone = True
            raise
        download.took(message)

    def _has_body(self) -> bool:
        return self.sent(b"content-length") not in {None, "0"} or self.sent(b"transfer-encoding") is not None

    async def release(self) -> None:
        """Send the start of a response that was held back until it was certain that it may leave."""
        held, self._held = self._held, None
        if held is not None:
            self._has_left = True
            await self._send(held)

    async def refuse(self) -> None:
        """Answer for `on_failure="block"`: what cannot be recorded is not done."""
        if self._is_answered_by_us or self._has_left:
            return
        self._is_answered_by_us = True
        self._is_passing = False
        self._held = None
        await self._send({"type": "http.response.start", "status": 503, "headers": list(_REFUSAL_HEADERS)})
        await self._send({"type": "http.response.body", "body": REFUSAL.encode()})

    def left(self, error: BaseException) -> None:
        """Record what is known when the app leaves with an exception: that goes on, whatever happens here."""
        try:
            if self.download is not None:
                is_error = isinstance(error, Exception) and not self._is_hang_up(error)
                self.download.end("failure", type(error).__name__ if is_error else None)
            if not self._is_failure_told and not self._is_hang_up(error) and not self.is_told_inside():
                observers.failed(self, error)
        except NotRecordedError:
            if not self._is_started:
                self.not_recorded()
        except Exception as failure:  # noqa: BLE001 - counted and logged by `complain`
            complain("looking at an exception", failure)

    def _is_hang_up(self, error: BaseException) -> bool:
        """Tell whether an exception only says that the client went away."""
        is_gone = self.download is not None and self.download.is_gone
        return is_gone or type(error).__name__ in {"ClientDisconnect", "WebSocketDisconnect"}


class WebSocketVisit(Visit):
    """A WebSocket connection on its way through the door: refused before it is accepted, or left to the app."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Pass on what the client sends."""
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Look at how the handshake ends, and send it."""
        if not self._is_started:
            kind = message["type"]
            if kind == "websocket.http.response.start":
                self._start(message)
            elif kind in {"websocket.accept", "websocket.close"}:
                self._is_started = True
                self._decide(message)
            if self.is_refused:
                await self.refuse()
                return
        if not self._is_answered_by_us:
            self._has_left = self._is_started
            await self._send(message)

    def _decide(self, message: Message) -> None:
        token = enter(self)
        try:
            if message["type"] == "websocket.accept":
                observers.decide(self, None)
                return
            errors.remember(self)
            self._is_failure_told = True
            error = self.exception
            if error is not None and type(error).__name__ == "WebSocketRequestValidationError":
                observers.decide(self, errors.refused_input(self, error))
            else:
                observers.decide(self, denials.closed(self, message.get("code", 1000)))
        except NotRecordedError:
            self.not_recorded()
        except Exception as error:  # noqa: BLE001 - counted and logged by `complain`
            complain("looking at a WebSocket", error)
        finally:
            leave(token)

    async def refuse(self) -> None:
        """Close the connection: what cannot be recorded is not done."""
        if not self._is_answered_by_us:
            self._is_answered_by_us = True
            await self._send({"type": "websocket.close", "code": 1013})  # "try again later"


# ── the installation around a Starlette app ─────────────────────────────────────────────────────────────────


def install(app: Any, settings: Any = None, *, login_heuristic: bool = True) -> None:
    """Put the door around the whole middleware stack of a Starlette or FastAPI app. A second call does nothing.

    Args:
        app: the app, before it serves its first request.
        settings: seclog's settings; None if `seclog.configure` was or will be called, or for the defaults.
        login_heuristic: whether to recognise logins that no library and no call of the app tells; see `login`.

    Raises:
        ConfigurationError: a setting is wrong.
        MissingExtraError: Starlette is not installed.
        TypeError: the app is no Starlette app.
    """
    if find_spec("starlette") is None:
        raise MissingExtraError("Starlette", "asgi")
    build = getattr(app, "build_middleware_stack", None)
    if not callable(build):
        raise TypeError(
            f"install() wants a Starlette or FastAPI app, got {type(app).__name__}; "
            "wrap any other ASGI app: app = SecurityEventMiddleware(app)"
        )
    if getattr(build, _MARK, False):
        return
    startup.set_up(settings)

    def build_middleware_stack() -> Any:
        return SecurityEventMiddleware(build(), login_heuristic=login_heuristic)

    setattr(build_middleware_stack, _MARK, True)
    app.build_middleware_stack = build_middleware_stack
    if getattr(app, "middleware_stack", None) is not None:  # it has served already, or somebody has asked
        app.middleware_stack = app.build_middleware_stack()
