"""The scope of an ASGI connection: who and where, read from the ASGI scope only when an event needs it.

In: the dictionary that the server made and that frameworks add to (`route`, `endpoint`, `user`, `session`, …). It is
read, never changed.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from seclog.adapters._hooks import contained
from seclog.adapters._scope import INNER, WebScope, censored
from seclog.adapters.asgi.users import Who, session_id, session_user, user_of
from seclog.context import current
from seclog.context.identifiers import request_id, trace
from seclog.context.scope import Context

MAX_BODY: Final = 64 * 1024
"""Bytes of a form or of JSON that are kept, for as long as the request lasts."""
_KEPT_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")

more_facts: Final[list[Callable[[Context, "RequestScope"], None]]] = []
"""What libraries know of a request's context: each is called for every event, may read, and must cost no query."""


class RequestScope(WebScope):
    """One request or WebSocket connection.

    Attributes:
        asgi: the ASGI scope.
        headers: the response's headers, once there are some.
        body: what the app has read of a form or of JSON; None if nothing, too much, or something else.
        body_size: how many bytes of the body the app has read.
    """

    __slots__ = ("asgi", "body", "body_size", "headers")  # set by the door's `Visit`, all at once

    asgi: Any
    headers: Any
    body: bytes | None
    body_size: int

    # ── the request ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def method(self) -> str:
        """The HTTP method; a WebSocket begins with a GET."""
        return str(self.asgi.get("method", "GET"))

    @property
    def path(self) -> str:
        """The path, with the prefix that the app is mounted under."""
        return str(self.asgi.get("path", ""))

    @property
    def censored_path(self) -> str:
        """The path, without the values of URL parameters that are secrets (`/reset/{token}`)."""
        parameters = self.asgi.get("path_params")
        return censored(self.path, parameters) if isinstance(parameters, Mapping) else self.path

    @property
    def route(self) -> Any:
        """What matched: the framework's route object, or FastAPI's with what its routers add; None if nothing did."""
        asgi = self.asgi
        fastapi = asgi.get("fastapi")
        included = fastapi.get("effective_route_context") if isinstance(fastapi, Mapping) else None
        return included if getattr(included, "path", None) else asgi.get("route") or self._found_route()

    def _found_route(self) -> Any:
        """Find what matched by its endpoint: a plain route in a FastAPI app is not named in the scope."""
        router, endpoint = self.asgi.get("router"), self.asgi.get("endpoint")
        rest = self.path.removeprefix(str(self.asgi.get("root_path", "")))
        for route in _routes(router) if endpoint is not None else ():
            pattern = getattr(route, "path_regex", None)
            if getattr(route, "endpoint", None) is endpoint and pattern is not None and pattern.match(rest):
                return route
        return None

    @property
    def template(self) -> str | None:
        """The route's template, such as "/orders/{id}", with the prefixes of routers and mounts; None without one."""
        asgi = self.asgi
        path = getattr(self.route, "path", None)
        if not isinstance(path, str) or asgi.get("endpoint") is None:
            return None
        root = str(asgi.get("root_path", ""))
        if not self.path.startswith(root):  # a prefix that a proxy in front has taken off
            root = root.removeprefix(str(asgi.get("app_root_path", root)))
        return root + path

    @property
    def view(self) -> str | None:
        """The dotted name of the endpoint, if there is one."""
        endpoint = self.asgi.get("endpoint")
        if endpoint is None:
            return None
        named = endpoint if hasattr(endpoint, "__qualname__") else type(endpoint)
        return f"{named.__module__}.{named.__qualname__}"

    def sent(self, name: bytes) -> str | None:
        """Return a header of the request; None if it has none.

        Args:
            name: in lower case.
        """
        return next(self.all_sent(name), None)

    def all_sent(self, name: bytes) -> Iterator[str]:
        """Return all headers of this name."""
        return (value.decode("latin-1") for key, value in self.asgi.get("headers", ()) if key == name)

    @property
    def content_type(self) -> str:
        """The media type of the request's body, in lower case and without parameters."""
        return (self.sent(b"content-type") or "").partition(";")[0].strip().lower()

    def read(self, chunk: bytes) -> None:
        """Keep what the app reads, if it may be told one day: forms and JSON, up to a limit."""
        if self.body_size == 0:
            kind = self.content_type
            if kind in _KEPT_TYPES or kind.endswith(("/json", "+json")):
                self.body = b""
        self.body_size += len(chunk)
        if self.body is not None:
            self.body = self.body + chunk if self.body_size <= MAX_BODY else None

    def is_told_inside(self) -> bool:
        """Tell whether another framework's adapter inside (Django or Flask, mounted) tells of this request."""
        inner = self.noted(INNER)
        if inner is None:
            return False
        path = inner.ready().path or ""
        return path == self.path or "[redacted]" in path  # else it was another request, made by this one

    # ── the response ────────────────────────────────────────────────────────────────────────────────────────

    def header(self, name: bytes) -> str | None:
        """Return a header of the response; None if it has none.

        Args:
            name: in lower case.
        """
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), None)

    # ── who and where ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def user(self) -> Who | None:
        """Who acts: bound by somebody who knows, or the framework's user, or the session's; None if nobody."""
        context = self.context
        if context.user_id is not None:
            return context.user_id, context.user_name
        return user_of(self.asgi.get("user")) or session_user(self.asgi.get("session"))

    def fill(self) -> None:
        """Read the connection once for what stays, and each time for what may have become known."""
        context = self.context
        if context.request_id is None:
            self._fill_connection()
        if self.status is not None:
            context.status = self.status
        if context.route is None:
            context.route = self.template
            if context.route is not None:
                context.path = self.censored_path
        if context.user_id is None:
            user = self.user
            if user is not None:
                context.user_id, context.user_name = user
        if context.session is None:
            context.session = session_id(self.asgi.get("session"))
        for add in more_facts:
            with contained("a library's facts of the request"):
                add(context, self)

    def _fill_connection(self) -> None:
        context = self.context
        context.method = self.method
        context.path = self.censored_path
        context.user_agent = self.sent(b"user-agent")
        context.request_id = request_id(self.sent(b"x-request-id"))
        context.trace_id, context.span_id = trace(self.sent(b"traceparent"))
        client = self.asgi.get("client")
        self.fill_address(
            client[0] if client else None, list(self.all_sent(b"forwarded")), list(self.all_sent(b"x-forwarded-for"))
        )


def _routes(router: Any) -> Iterator[Any]:
    for route in getattr(router, "routes", None) or ():
        yield route
        yield from _routes(route)


def of() -> RequestScope | None:
    """Return the scope of the running connection if it is an ASGI app's."""
    scope: Any = current()
    while scope is not None and not isinstance(scope, RequestScope):
        scope = getattr(scope, "parent", None)  # a named job within the request
    return scope
