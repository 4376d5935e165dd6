"""The scope of a web request, whatever the framework: the request-level event, and what hooks leave for each other."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from seclog import api
from seclog.context import Scope, current
from seclog.events import Event
from seclog.redaction.keys import KeyRules, Verdict, looks_random

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
"""What a request-level event is worth against another one, by the beginning of its name: at most one is recorded a
request (event_mapping.json, conventions.one_request_event)."""

INNER: Final = "scope of an adapter inside"
"""The note that another adapter's scope was opened within this one: one framework is mounted in another."""


class WebScope(Scope):
    """One web request.

    Attributes:
        exception: the exception that the framework turned into the response, if any.
        denied_permission: the permission that was last refused, for the event that may follow.
        candidate: the request-level event proposed so far, with its rank in `PRECEDENCE`.
        status: the response's status code, once there is a response.
        told: facts that hooks leave for each other in this request, by name.
        is_refused: whether something could not be recorded, and the request must be refused for it.
    """

    __slots__ = ("candidate", "denied_permission", "exception", "is_refused", "status", "told")

    def __init__(self, started_ns: int | None = None) -> None:
        super().__init__(started_ns)
        self.exception: BaseException | None = None
        self.denied_permission: str | None = None
        self.candidate: tuple[int, Event] | None = None
        self.status: int | None = None
        self.told: dict[str, Any] | None = None
        self.is_refused = False
        outer = current()
        if isinstance(outer, WebScope):
            outer.note(INNER, self)

    def fill_address(
        self, peer: str | None, forwarded: Sequence[str] = (), x_forwarded_for: Sequence[str] = ()
    ) -> None:
        """Write the client's address into the context; and where it comes from, if a proxy stands between."""
        installation = api.installed()
        if installation is None:
            return
        context = self.context
        context.address, header = installation.addresses.resolve(peer, forwarded, x_forwarded_for)
        if header is not None:
            context.forwarded, context.peer = header, peer

    def not_recorded(self) -> None:
        """Take note that the request must be refused, even if the app catches the error."""
        self.is_refused = True

    @property
    def is_answered(self) -> bool:
        """Tell whether the response has started: the request-level event is decided, and none is waited for."""
        return self.status is not None

    def propose(self, event: Event, *, by_app: bool = False) -> bool:
        """Offer a request-level event; that of the highest precedence is recorded when the request ends.

        What the app's own code has told of this request stands: nothing of the same or a lesser rank is told after it.
        Of two of one rank, the app's counts, else the first.
        """
        rank = _rank(event.type)
        if any(_rank(kind) <= rank < len(PRECEDENCE) for kind in self.recorded):
            return True
        if by_app and self.is_answered:
            return False
        if self.candidate is None or rank < self.candidate[0] + by_app:
            self.candidate = (rank, event)
        return True

    def note(self, name: str, value: Any) -> None:
        """Leave a fact for another hook of this request."""
        if self.told is None:
            self.told = {}
        self.told[name] = value

    def noted(self, name: str) -> Any:
        """Return a fact that another hook left, or None."""
        return None if self.told is None else self.told.get(name)


def _rank(kind: str) -> int:
    return next((rank for rank, start in enumerate(PRECEDENCE) if kind.startswith(start)), len(PRECEDENCE))


def session_hash(key: str | None) -> str | None:
    """Return the keyed hash of a session key; the key itself is never written."""
    installation = api.installed()
    if not key or installation is None:
        return None
    return installation.pseudonym("session", key)


def censored(path: str, parameters: Mapping[str, object]) -> str:
    """Return a path without the values of URL parameters that are secrets by their name.

    Args:
        path: the path as received.
        parameters: the URL's parameters by name, as the router found them.
    """
    for name, value in parameters.items():
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
