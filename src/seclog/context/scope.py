"""The scope: one request or one job, held in one ContextVar, filled only when an event needs it.

Why a mutable holder: thread pools and asgiref run code in a *copy* of the context, so a value set there is lost,
while a change to an object that the copy points to is seen by everyone (research/hooks.md §6).
"""

import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Final

import msgspec

from seclog.events.event import Event


class Context(
    msgspec.Struct,
    omit_defaults=True,
    gc=False,
    rename={
        "user_id": "user.id",
        "user_name": "user.name",
        "address": "client.address",
        "peer": "seclog.client.peer",
        "forwarded": "seclog.client.forwarded",
        "user_agent": "user_agent.original",
        "method": "http.request.method",
        "route": "http.route",
        "path": "url.path",
        "status": "http.response.status_code",
        "request_id": "seclog.request.id",
        "session": "seclog.session.id_hash",
        "duration_ms": "seclog.duration_ms",
        "actor": "seclog.actor",
        "impersonator": "seclog.impersonator.id",
    },
):
    """Who and where, by the names it has in an entry. What is unknown is left out.

    Args:
        user_id: the acting user's id as text.
        user_name: the acting user's login name.
        address: the client's address, parsed and resolved behind trusted proxies.
        peer: the address that opened the connection, when a proxy stands between.
        forwarded: the forwarding header as received, when a proxy stands between.
        user_agent: the user agent as received.
        method: the HTTP method.
        route: the route's template, such as `orders/<int:pk>/`.
        path: the path, without the query.
        status: the response's status code, once it is known.
        request_id: the inbound request id if well formed, else a new one.
        trace_id: W3C trace id, 32 hex digits.
        span_id: W3C span id, 16 hex digits.
        session: a keyed hash of the session's key; never the key.
        duration_ms: milliseconds since the request began.
        actor: who works outside a request, such as `cron:cleanup`.
        impersonator: the id of the user who really acts, where somebody works as `user_id`.
    """

    user_id: str | None = None
    user_name: str | None = None
    address: str | None = None
    peer: str | None = None
    forwarded: str | None = None
    user_agent: str | None = None
    method: str | None = None
    route: str | None = None
    path: str | None = None
    status: int | None = None
    request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    session: str | None = None
    duration_ms: float | None = None
    actor: str | None = None
    impersonator: str | None = None

    def joined(self, known: Container[str]) -> str:
        """Return what a client or a user wrote, as one text for one look; a user agent only if it is not known.

        The other fields are parsed, made by us, or written in the app's code, and need not be looked at.
        """
        agent = self.user_agent
        return (
            f"{'' if agent in known else agent}|{self.path}|{self.user_name}|{self.user_id}|{self.request_id}"
            f"|{self.method}|{self.forwarded}|{self.actor}|{self.impersonator}"
        )


CONTEXT_FIELDS: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Context))
"""The names in an entry that the context may write."""


class Scope:
    """One request or job. Adapters subclass it and override `fill`; creating one must cost next to nothing."""

    __slots__ = ("_context", "harmless", "recorded", "started_ns")

    def __init__(self, started_ns: int | None = None) -> None:
        self._context: Context | None = None
        self.started_ns = started_ns
        self.harmless = ""
        """The context's texts (`Context.joined`) as they were last found to hold no secret."""
        self.recorded: tuple[str, ...] = ()
        """The event types recorded in this scope so far (adapters avoid telling the same thing twice)."""

    @property
    def context(self) -> Context:
        """The context, made when first asked for."""
        if self._context is None:
            self._context = Context()
        return self._context

    def fill(self) -> None:
        """Write what is known now into `self.context`. Called for every event of the scope; must not raise."""

    def ready(self) -> Context:
        """Return the context as it stands now, filled."""
        self.fill()
        context = self.context
        if self.started_ns is not None:
            context.duration_ms = (time.perf_counter_ns() - self.started_ns) // 10_000 / 100
        return context

    def fields(self) -> dict[str, object]:
        """Return the context's known fields by their names in an entry."""
        fields: dict[str, object] = msgspec.to_builtins(self.ready())
        return fields

    def bind_user(self, user_id: object, user_name: object = None) -> None:
        """Say who the acting user is from here on."""
        self.context.user_id = None if user_id is None else str(user_id)
        self.context.user_name = None if user_name is None else str(user_name)

    def resolve_user(self) -> None:
        """Find out who acts, where that costs a look-up: asked before the app's own events. Must not raise."""

    async def aresolve_user(self) -> None:
        """Do the same in the event loop."""

    def propose(self, event: Event, *, by_app: bool = False) -> bool:
        """Take a request-level event, to be recorded when the request ends.

        Args:
            event: what the request comes to.
            by_app: whether the app's own code says so.

        Returns:
            Whether it is taken; if not, as outside of a request, it is the caller's to record.
        """
        return False

    def not_recorded(self) -> None:
        """Take note that an event could not be recorded and `on_failure="block"` wants the request refused."""


class JobScope(Scope):
    """Work under a named actor: a command, a cron job, a task. Inside a request it adds to that request's context."""

    __slots__ = ("actor", "parent")

    def __init__(self, actor: str, parent: Scope | None = None) -> None:
        super().__init__()
        self.parent = parent
        self.actor = actor

    def fill(self) -> None:
        """Take over what the parent knows; the actor stands in for the user where there is none."""
        if self.parent is not None:
            self._context = msgspec.structs.replace(self.parent.ready())
        context = self.context
        context.actor = self.actor
        if context.user_id is None:
            context.user_id = self.actor

    def bind_user(self, user_id: object, user_name: object = None) -> None:
        """Say who the acting user is; inside a request, for the request."""
        if self.parent is not None:
            self.parent.bind_user(user_id, user_name)
        else:
            super().bind_user(user_id, user_name)

    def resolve_user(self) -> None:
        """Inside a request, find out who acts there."""
        if self.parent is not None:
            self.parent.resolve_user()

    async def aresolve_user(self) -> None:
        """Do the same in the event loop."""
        if self.parent is not None:
            await self.parent.aresolve_user()

    def propose(self, event: Event, *, by_app: bool = False) -> bool:
        """Inside a request, offer it to the request."""
        return self.parent is not None and self.parent.propose(event, by_app=by_app)

    def not_recorded(self) -> None:
        """Inside a request, the request is refused."""
        if self.parent is not None:
            self.parent.not_recorded()


class _Nameless(Scope):
    """Another scope's context without its user."""

    __slots__ = ("parent",)

    def __init__(self, parent: Scope) -> None:
        super().__init__()
        self.parent = parent

    def fill(self) -> None:
        """Take over what the parent knows, but for the user."""
        self._context = msgspec.structs.replace(self.parent.ready(), user_id=None, user_name=None)

    def not_recorded(self) -> None:
        """Tell the parent: the request is refused."""
        self.parent.not_recorded()


_CURRENT: ContextVar[Scope | None] = ContextVar("seclog_scope", default=None)


def current() -> Scope | None:
    """Return the scope of the running request or job, or None outside of one."""
    return _CURRENT.get()


# Bound methods, not functions around them: both stand in the way of every request.
enter = _CURRENT.set
"""Make a scope the current one; give the token to `leave`, or to `leave_here`."""
leave_here = _CURRENT.reset
"""Return to the scope before. Only for code that entered in the same context (the same call of the same task)."""


def leave(token: Token[Scope | None]) -> None:
    """Return to the scope before. A token from another context (a generator closed elsewhere) is let go silently."""
    try:
        _CURRENT.reset(token)
    except ValueError:
        _CURRENT.set(None)


@contextmanager
def attempt() -> Iterator[dict[str, object]]:
    """Record an attempt in the block: its user is the one that was named, not the one who is logged in.

    Yields:
        A field that keeps the fact who is logged in, if anybody is.
    """
    scope = current()
    session_user = None if scope is None else scope.ready().user_id
    if scope is None or session_user is None:
        yield {}
        return
    nameless = _Nameless(scope)
    token = enter(nameless)
    try:
        yield {"seclog.session.user_id": session_user}
    finally:
        leave(token)
        scope.recorded += nameless.recorded
