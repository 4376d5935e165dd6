"""The scope of a Django request: who and where, read from the request only when an event needs it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings as django_settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from seclog.adapters._hooks import contained
from seclog.adapters._scope import WebScope, censored, session_hash
from seclog.context import current
from seclog.context.identifiers import request_id, trace
from seclog.context.scope import Context

more_facts: Final[list[Callable[[Context, HttpRequest], None]]] = []
"""What libraries know of a request's context: each is called for every event, may read, and must cost no query."""


class RequestScope(WebScope):
    """One request. Django's own objects are read, never evaluated: `request.user` would cost a query.

    Attributes:
        request: the request.
    """

    __slots__ = ("_static", "request")

    def __init__(self, request: HttpRequest, started_ns: int | None = None) -> None:
        super().__init__(started_ns)
        self.request = request
        self._static = False

    def fill(self) -> None:
        """Read the request once for what stays, and each time for what may have become known."""
        context = self.context
        request = self.request
        if not self._static:
            self._static = True
            self._fill_static()
        if self.status is not None:
            context.status = self.status
        match = getattr(request, "resolver_match", None)
        if match is not None and context.route is None:
            context.route = match.route
            context.path = censored_path(request)
        user = evaluated_user(request)
        if user is not None and user.is_authenticated:
            context.user_id = str(user.pk)
            context.user_name = user.get_username()
        if context.session is None:
            context.session = session_hash(loaded_session_key(request))
        for add in more_facts:
            with contained("a library's facts of the request"):
                add(context, request)

    def _fill_static(self) -> None:
        context = self.context
        request = self.request
        meta = request.META
        context.method = request.method
        context.path = censored_path(request)
        context.user_agent = meta.get("HTTP_USER_AGENT")
        context.request_id = context.request_id or request_id(meta.get("HTTP_X_REQUEST_ID"))
        context.trace_id, context.span_id = trace(meta.get("HTTP_TRACEPARENT"))
        forwarded, x_forwarded_for = meta.get("HTTP_FORWARDED"), meta.get("HTTP_X_FORWARDED_FOR")
        self.fill_address(
            meta.get("REMOTE_ADDR"), [forwarded] if forwarded else (), [x_forwarded_for] if x_forwarded_for else ()
        )

    def resolve_user(self) -> None:
        """Look the user up for an event that should name them: worth a query, if there is a session."""
        with contained("naming the user"):
            if self._has_unnamed_user() and "user" in self.request.__dict__ and not _in_event_loop():
                bool(self.request.user.is_authenticated)

    async def aresolve_user(self) -> None:
        """Do the same in the event loop."""
        with contained("naming the user"):
            if self._has_unnamed_user() and hasattr(self.request, "auser"):
                await self.request.auser()

    def _has_unnamed_user(self) -> bool:
        """Tell whether a user may stand behind the session cookie that nobody has asked for yet."""
        request = self.request
        return evaluated_user(request) is None and django_settings.SESSION_COOKIE_NAME in request.COOKIES


def _in_event_loop() -> bool:
    """Django refuses queries there."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def evaluated_user(request: HttpRequest) -> Any:
    """Return the request's user if somebody already asked for it; None rather than a query."""
    user = request.__dict__.get("user")
    if isinstance(user, LazyObject) and user._wrapped is empty:
        user = None
    return user or request.__dict__.get("_cached_user") or request.__dict__.get("_acached_user")


def loaded_session_key(request: HttpRequest) -> str | None:
    """Return the key of the request's session if the session was used; None rather than a query.

    With signed cookies there is none: what stands in its place is the data, new in every response.
    """
    session = getattr(request, "session", None)
    if session is None or not session.accessed or isinstance(session, SignedCookieStore):
        return None
    return getattr(session, "session_key", None)


def censored_path(request: HttpRequest) -> str:
    """Return the path, without the values of URL parameters that are secrets (`reset/<uidb64>/<token>/`)."""
    match = getattr(request, "resolver_match", None)
    return censored(request.path, match.kwargs if match is not None else {})


def of(request: HttpRequest | None = None) -> RequestScope | None:
    """Return the scope of the running request if it is a Django request's."""
    scope: Any = current()
    while scope is not None and not isinstance(scope, RequestScope):
        scope = getattr(scope, "parent", None)  # a named job within the request
    return scope
