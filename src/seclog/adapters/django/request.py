"""The scope of a Django request: who and where, read from the request only when an event needs it."""

import asyncio
from functools import cache
from typing import Any, Final

from django.conf import settings as django_settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from seclog import api
from seclog.adapters._hooks import contained
from seclog.context import Scope
from seclog.context.identifiers import request_id, trace
from seclog.events import Event
from seclog.redaction.keys import KeyRules, Verdict, looks_random

# What a request-level event is worth against another one: at most one is recorded a request
# (event_mapping.json, conventions.one_request_event).
PRECEDENCE: Final = (
    "malicious_",
    "authz_fail",
    "authz_unauthenticated",
    "excess_rate_limit_exceeded",
    "input_",
    "http_method_unexpected",
    "app_unhandled_exception",
    "api_server_error",
    "api_client_error",
)


class RequestScope(Scope):
    """One request. Django's own objects are read, never evaluated: `request.user` would cost a query.

    Attributes:
        request: the request.
        exception: the exception that Django turned into the response, if any.
        denied_permission: the permission that was last refused, for the event that may follow.
        known_user: what the login's user look-up found: None before one, else (found, user or None).
        candidate: the request-level event proposed so far, with its rank in `PRECEDENCE`.
        status: the response's status code, once there is a response.
        told: facts that hooks leave for each other in this request, by name.
        is_refused: whether something could not be recorded, and the request must be refused for it.
    """

    __slots__ = (
        "_static",
        "candidate",
        "denied_permission",
        "exception",
        "is_refused",
        "known_user",
        "request",
        "status",
        "told",
    )

    def __init__(self, request: HttpRequest, started_ns: int | None = None) -> None:
        super().__init__(started_ns)
        self.request = request
        self.exception: BaseException | None = None
        self.denied_permission: str | None = None
        self.known_user: tuple[bool, Any] | None = None
        self.candidate: tuple[int, Event] | None = None
        self.status: int | None = None
        self.told: dict[str, Any] | None = None
        self.is_refused = False
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

    def _fill_static(self) -> None:
        context = self.context
        request = self.request
        meta = request.META
        context.method = request.method
        context.path = censored_path(request)
        context.user_agent = meta.get("HTTP_USER_AGENT")
        context.request_id = request_id(meta.get("HTTP_X_REQUEST_ID"))
        context.trace_id, context.span_id = trace(meta.get("HTTP_TRACEPARENT"))
        installation = api.installed()
        if installation is not None:
            peer = meta.get("REMOTE_ADDR")
            forwarded, x_forwarded_for = meta.get("HTTP_FORWARDED"), meta.get("HTTP_X_FORWARDED_FOR")
            context.address, header = installation.addresses.resolve(
                peer, [forwarded] if forwarded else (), [x_forwarded_for] if x_forwarded_for else ()
            )
            if header is not None:
                context.forwarded, context.peer = header, peer

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

    def not_recorded(self) -> None:
        """Take note that the request must be refused, even if the app catches the error."""
        self.is_refused = True

    def propose(self, event: Event) -> None:
        """Offer a request-level event; that of the highest precedence is recorded when the request ends."""
        ranks = (rank for rank, start in enumerate(PRECEDENCE) if event.type.startswith(start))
        rank = next(ranks, len(PRECEDENCE))
        if self.candidate is None or rank < self.candidate[0]:
            self.candidate = (rank, event)

    def note(self, name: str, value: Any) -> None:
        """Leave a fact for another hook of this request."""
        if self.told is None:
            self.told = {}
        self.told[name] = value

    def noted(self, name: str) -> Any:
        """Return a fact that another hook left, or None."""
        return None if self.told is None else self.told.get(name)


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


def session_hash(key: str | None) -> str | None:
    """Return the keyed hash of a session key; the key itself is never written."""
    installation = api.installed()
    if not key or installation is None:
        return None
    return installation.pseudonym("session", key)


def censored_path(request: HttpRequest) -> str:
    """Return the path, without the values of URL parameters that are secrets (`reset/<uidb64>/<token>/`)."""
    path: str = request.path
    match = getattr(request, "resolver_match", None)
    if match is not None:
        for name, value in match.kwargs.items():
            if isinstance(value, str) and value and is_secret_parameter(name, value):
                path = path.replace(value, "[redacted]")
    return path


def is_secret_parameter(name: str, value: str) -> bool:
    """Tell whether a value under this name must not be written."""
    installation = api.installed()
    verdict = _key_rules(installation.settings.redact_keys if installation is not None else ()).decide(name)
    return verdict is Verdict.SECRET or (verdict is Verdict.MAYBE and looks_random(value))


@cache
def _key_rules(extra_keys: tuple[str, ...]) -> KeyRules:
    return KeyRules(extra_keys)


def of(request: HttpRequest | None = None) -> RequestScope | None:
    """Return the scope of the running request if it is a Django request's."""
    from seclog.context import current

    scope: Any = current()
    while scope is not None and not isinstance(scope, RequestScope):
        scope = getattr(scope, "parent", None)  # a named job within the request
    return scope
