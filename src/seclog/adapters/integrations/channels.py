"""channels: refused WebSockets, and who acts inside of a connection.

A connection never passes Django's middleware: it gets a scope of its own here, from the handshake to its end, so that
logins and whatever the consumer's code does are told with user, address and path. A consumer that closes before it
accepts refuses; the server answers 403.

Tested with channels 4.3.2.
"""

from typing import Any, Final

from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore

from seclog.adapters._hooks import contained, tell
from seclog.adapters._scope import WebScope, session_hash
from seclog.adapters.integrations._library import Library
from seclog.context import current, enter, leave
from seclog.context.identifiers import request_id, trace
from seclog.events import Event, EventType

library = Library("channels")
_ACCEPTED: Final = "_seclog_accepted"


def connect() -> None:
    """Wrap the consumer's call, and in both kinds of consumers what accepts and what closes."""
    library.wrap_when_imported("channels.consumer.AsyncConsumer.__call__", _serve)
    library.wrap_when_imported("channels.generic.websocket.WebsocketConsumer.accept", _accept)
    library.wrap_when_imported("channels.generic.websocket.WebsocketConsumer.close", _close)
    library.wrap_when_imported("channels.generic.websocket.AsyncWebsocketConsumer.accept", _aaccept)
    library.wrap_when_imported("channels.generic.websocket.AsyncWebsocketConsumer.close", _aclose)


class ConnectionScope(WebScope):
    """One WebSocket connection, read from its ASGI scope."""

    __slots__ = ("asgi",)

    def __init__(self, asgi: dict[str, Any]) -> None:
        super().__init__()
        self.asgi = asgi

    def fill(self) -> None:
        """Read the handshake once, and who acts each time: a consumer may log somebody in."""
        context = self.context
        if context.request_id is None:
            self._fill_handshake()
        user: Any = self.asgi.get("user")
        user = getattr(user, "_wrapped", user)  # channels' lazy user raises if it is asked too early
        if user is not None and getattr(user, "is_authenticated", False) and hasattr(user, "get_username"):
            context.user_id, context.user_name = str(user.pk), user.get_username()
        session = self.asgi.get("session")
        session = getattr(session, "_wrapped", session)
        if context.session is None and not isinstance(session, SignedCookieStore):
            context.session = session_hash(getattr(session, "session_key", None))

    def _fill_handshake(self) -> None:
        context = self.context
        headers = self.asgi.get("headers", ())

        def values(name: bytes) -> list[str]:
            return [value.decode("latin-1") for key, value in headers if key == name]

        def first(name: bytes) -> str | None:
            return next(iter(values(name)), None)

        context.method = "GET"
        context.path = self.asgi.get("path")
        context.user_agent = first(b"user-agent")
        context.request_id = request_id(first(b"x-request-id"))
        context.trace_id, context.span_id = trace(first(b"traceparent"))
        client = self.asgi.get("client")
        self.fill_address(client[0] if client else None, values(b"forwarded"), values(b"x-forwarded-for"))


async def _serve(original: Any, consumer: Any, scope: Any, *args: Any, **kwargs: Any) -> Any:
    if scope.get("type") != "websocket" or isinstance(current(), WebScope):
        return await original(consumer, scope, *args, **kwargs)
    token = enter(ConnectionScope(scope))
    try:
        return await original(consumer, scope, *args, **kwargs)
    finally:
        leave(token)


def _accept(original: Any, consumer: Any, *args: Any, **kwargs: Any) -> Any:
    setattr(consumer, _ACCEPTED, True)
    return original(consumer, *args, **kwargs)


def _close(original: Any, consumer: Any, *args: Any, **kwargs: Any) -> Any:
    _closed(consumer, args, kwargs)
    return original(consumer, *args, **kwargs)


async def _aaccept(original: Any, consumer: Any, *args: Any, **kwargs: Any) -> Any:
    setattr(consumer, _ACCEPTED, True)
    return await original(consumer, *args, **kwargs)


async def _aclose(original: Any, consumer: Any, *args: Any, **kwargs: Any) -> Any:
    _closed(consumer, args, kwargs)
    return await original(consumer, *args, **kwargs)


def _closed(consumer: Any, args: Any, kwargs: Any) -> None:
    with contained("a closed WebSocket"):
        if getattr(consumer, _ACCEPTED, False):
            return
        setattr(consumer, _ACCEPTED, True)  # refused once
        scope = current()
        acting = scope.ready().user_id if scope is not None else None
        code = kwargs.get("code", args[0] if args else None)
        fields: dict[str, object] = {"seclog.view": f"{type(consumer).__module__}.{type(consumer).__qualname__}"}
        if isinstance(code, int) and code is not True:
            fields["seclog.websocket.close_code"] = code
        if type(consumer).__name__ == "WebsocketDenier":
            event = Event(type=EventType.AUTHZ_FAIL, reason="origin_mismatch", fields=fields)
        elif acting is None:
            event = Event(type=EventType.AUTHZ_UNAUTHENTICATED, reason="websocket_denied", fields=fields)
        else:
            event = Event(type=EventType.AUTHZ_FAIL, reason="websocket_denied", fields=fields)
        tell(event)
