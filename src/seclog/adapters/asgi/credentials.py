"""Families 1 and 3: credentials that a request brought along, and that were refused: tokens, API keys, HTTP Basic.

FastAPI's schemes (`HTTPBearer`, `APIKeyHeader`, `OAuth2PasswordBearer`, …) refuse what is missing or malformed; whether
a token is any good, the app's own code decides, and answers 401. So the refusal is told when the answer leaves. The
credential itself is nowhere: a keyed hash names it.
"""

import binascii
from base64 import b64decode
from typing import Any, Final
from urllib.parse import parse_qsl

from seclog import api
from seclog.adapters._hooks import tell
from seclog.adapters._logins import HEURISTIC
from seclog.adapters.asgi import routes
from seclog.adapters.asgi.request import RequestScope
from seclog.events import Event, EventType

_TOLD: Final = frozenset(
    {
        EventType.AUTHN_TOKEN_INVALID,
        EventType.AUTHN_TOKEN_EXPIRED,
        EventType.AUTHN_TOKEN_REUSE,
        EventType.AUTHN_LOGIN_FAIL,
    }
)
_MAX: Final = 8192


def observe(scope: RequestScope, status: int) -> None:
    """Record that a credential was refused, where the request brought one."""
    if not _TOLD.isdisjoint(scope.recorded) or routes.facts(scope).is_token:
        return
    is_backend = type(scope.exception).__name__ == "AuthenticationError"
    if status != 401 and not is_backend:
        return
    found = _presented(scope, is_backend)
    if found is None:
        return
    kind, credential = found
    if kind == "basic":
        _tell_basic(credential)
        return
    fields: dict[str, object] = {"seclog.token.type": kind}
    installation = api.installed()
    if credential and installation is not None:
        fields["seclog.token.id_hash"] = installation.pseudonym("token", credential)
    reason = "refused" if credential else "malformed"
    tell(Event(type=EventType.AUTHN_TOKEN_INVALID, reason=reason, fields=fields))


def are_missing(scope: RequestScope) -> bool:
    """Tell whether an endpoint wants credentials and the request has none."""
    return bool(routes.facts(scope).schemes) and _presented(scope, False) is None


def _presented(scope: RequestScope, is_backend: bool) -> tuple[str, str] | None:
    """Return the kind of a credential and the credential ("" if it is malformed); None if there is none.

    Args:
        scope: the request's.
        is_backend: whether an `AuthenticationBackend` said that it was refused; else the endpoint must ask for one.
    """
    schemes = routes.facts(scope).schemes
    for scheme in schemes:
        place = getattr(getattr(getattr(scheme, "model", None), "in_", None), "value", None)
        if place is not None:
            key = _key(scope, place, str(scheme.model.name))
            if key:
                return "api_key", key
    header = scope.sent(b"authorization")
    if not header or not (is_backend or any(_reads_header(scheme) for scheme in schemes)):
        return None
    word, _, credential = header[:_MAX].strip().partition(" ")
    credential = credential.strip()
    return ("basic" if word.lower() == "basic" else "bearer"), credential


def _reads_header(scheme: Any) -> bool:
    return getattr(getattr(scheme, "model", None), "in_", None) is None


def _key(scope: RequestScope, place: str, name: str) -> str | None:
    match place:
        case "header":
            return scope.sent(name.lower().encode("latin-1", "replace"))
        case "query":
            query = scope.asgi.get("query_string", b"")[:_MAX].decode("latin-1")
            return dict(parse_qsl(query)).get(name)
        case "cookie":
            return cookie(scope, name)
    return None


def cookie(scope: RequestScope, name: str) -> str | None:
    """Return a cookie of the request; None if it has none of this name."""
    start = f"{name}="
    for header in scope.all_sent(b"cookie"):
        for part in header.split(";"):
            pair = part.strip()
            if pair.startswith(start):
                return pair[len(start) :].strip('"')
    return None


def _tell_basic(credential: str) -> None:
    """A refused HTTP Basic header is a failed login: it carries a name and a password. That those were why, is a guess."""
    try:
        name, colon, _ = b64decode(credential, validate=True).decode("utf-8", "replace").partition(":")
    except (ValueError, binascii.Error):
        name, colon = "", ""
    reason = "invalid_credentials" if colon else "malformed"
    api.login_failed(name[:256] if colon else "", reason, known=not colon, auth_method="basic", **HEURISTIC)
