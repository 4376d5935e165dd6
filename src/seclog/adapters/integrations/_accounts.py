"""What the libraries that keep accounts outside of Django share: who acts, whom it is about, how a token is named.

Framework-free. A token itself is nowhere; a keyed hash names it, the same one when it is issued, refused and revoked.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from seclog import api
from seclog.adapters._hooks import tell
from seclog.adapters._scope import WebScope
from seclog.context import attempt, current
from seclog.events import Event, EventType


def web_scope() -> WebScope | None:
    """Return the scope of the running web request, if there is one."""
    scope: Any = current()
    while scope is not None and not isinstance(scope, WebScope):
        scope = getattr(scope, "parent", None)  # a named job within the request
    return scope


def acting_user() -> str | None:
    """Return the id of whoever acts, as far as already known."""
    scope = current()
    return None if scope is None else scope.ready().user_id


def is_told(*kinds: EventType) -> bool:
    """Tell whether one of these was recorded in this request already, by another hook or by the app itself."""
    scope = current()
    return scope is not None and any(kind in scope.recorded for kind in kinds)


def propose(event: Event) -> None:
    """Offer a request-level event: of all that a request deserves one is recorded. Outside of one it is told now."""
    scope = web_scope()
    if scope is None:
        tell(event)
    else:
        scope.propose(event)


def method_of(target_id: object) -> str:
    """Tell by whom something is done to an account: "self", "admin", "anonymous", or "system" outside a request."""
    actor = acting_user()
    if actor is not None and actor == str(target_id):
        return "self"
    if web_scope() is None:
        return "system"
    return "anonymous" if actor is None else "admin"


def about_user(user_id: object, name: object) -> dict[str, object]:
    """Return what an entry says about the user it is about, and whether that is the one who acts."""
    fields: dict[str, object] = {"seclog.target.id": str(user_id), "seclog.target.name": name}
    if acting_user() == str(user_id):
        fields["seclog.self"] = True
    return present(fields)


def present(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that are known."""
    return {key: value for key, value in fields.items() if value is not None}


def token_hash(token: object) -> str | None:
    """Return the keyed hash of a token, or of its id."""
    installation = api.installed()
    if isinstance(token, bytes):
        token = token.decode("utf-8", "replace")
    return None if installation is None or not token else installation.pseudonym("token", str(token))


def expiry(seconds: object) -> str | None:
    """Return a time in seconds since 1970 as an entry writes times."""
    if not isinstance(seconds, int | float):
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def login_succeeded(user_id: object, name: object, method: str, **fields: object) -> None:
    """Tell a login and bind its user to the request; not twice in one request."""
    api.bind_user(user_id, name)
    if is_told(EventType.AUTHN_LOGIN_SUCCESS):
        return
    key = None if user_id is None else str(user_id)
    who = {"user.id": key, "user.name": name, "seclog.auth.method": method}
    tell(Event(type=EventType.AUTHN_LOGIN_SUCCESS, fields=present({**who, **fields})))


def reset_requested(address: str, user_id: object = None, name: object = None, reason: str | None = None) -> None:
    """Tell that somebody asked for a password reset; an address that nobody has is written as a keyed pseudonym."""
    installation = api.installed()
    with attempt() as session_user:
        fields: dict[str, object]
        if user_id is not None:
            fields = {"seclog.target.id": str(user_id), "seclog.target.name": name, "user.name": name}
        elif installation is None:
            return
        else:
            fields, reason = {"user.name": installation.unknown_name(address)}, "unknown_user"
        known = {"seclog.known": user_id is not None, **session_user}
        tell(Event(type=EventType.AUTHN_PASSWORD_RESET_REQUEST, reason=reason, fields=present({**fields, **known})))
