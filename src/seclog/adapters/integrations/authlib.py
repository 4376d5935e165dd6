"""Authlib: an OAuth 2 provider (Flask), its clients and bearer tokens; and the client side of a login elsewhere.

The provider's own signals carry tokens: of them only the revocation is used. A refused token is decided by the
validator, which alone knows whether it was unknown, expired or revoked. On the client's side a callback that fails is a
failed login; what a good one means is up to the app. Tested with Authlib 1.9.10.
"""

import sys
import time
from typing import Any, Final

from seclog import api
from seclog.adapters._hooks import contained, safely, tell
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("Authlib")
_KIND: Final = "oauth2_bearer"


def connect(app: Any = None) -> None:
    """Wrap what the app has loaded of the library, for all apps of the process."""
    if "authlib.integrations.flask_oauth2" in sys.modules:
        library.wrap("authlib.integrations.flask_oauth2.AuthorizationServer.save_token", _save_token)
        signal = library.find("authlib.integrations.flask_oauth2.signals.token_revoked")
        if signal is not None:
            signal.connect(_revoked)
    if "authlib.oauth2.rfc6749" in sys.modules:
        server = "authlib.oauth2.rfc6749.authorization_server.AuthorizationServer"
        library.wrap(f"{server}.handle_error_response", _refused_grant)
        library.wrap("authlib.oauth2.rfc6749.authenticate_client.ClientAuthentication.authenticate", _client)
        library.wrap("authlib.oauth2.rfc6750.BearerTokenValidator.validate_token", _validate)
    if "authlib.integrations.flask_client" in sys.modules:
        library.wrap("authlib.integrations.flask_client.FlaskOAuth2App.authorize_access_token", _callback)
    if "authlib.integrations.starlette_client" in sys.modules:
        library.wrap("authlib.integrations.starlette_client.StarletteOAuth2App.authorize_access_token", _acallback)


# ── the provider ──────────────────────────────────────────────────────────────────────────────────────────────────


def _save_token(original: Any, server: Any, token: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(server, token, request, *args, **kwargs)
    with contained("an issued token"):
        user, client = getattr(request, "user", None), getattr(request, "client", None)
        owner = None if user is None else str(user.get_user_id())
        lifetime = token.get("expires_in")
        fields: dict[str, object] = {
            "user.id": owner,
            "seclog.target.id": owner,
            "seclog.client.id": None if client is None else str(client.get_client_id()),
            "seclog.token.id_hash": accounts.token_hash(token.get("access_token")),
            "seclog.token.type": _KIND,
            "seclog.token.scope": token.get("scope") or "all",
            "seclog.token.expires": accounts.expiry(time.time() + lifetime) if lifetime else "never",
            "seclog.auth.grant": request.payload.grant_type,
        }
        kind = EventType.AUTHN_TOKEN_CREATED
        if request.payload.grant_type == "refresh_token":
            kind = EventType.AUTHN_TOKEN_REFRESHED
            fields["seclog.token.new_id_hash"] = fields["seclog.token.id_hash"]
            fields["seclog.token.id_hash"] = accounts.token_hash(request.payload.data.get("refresh_token"))
        tell(Event(type=kind, fields=accounts.present(fields)))
    return result


@safely
def _revoked(sender: Any, token: Any = None, client: Any = None, **kwargs: Any) -> None:
    fields = {
        **_about(token),
        "seclog.client.id": None if client is None else str(client.get_client_id()),
    }
    tell(Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="revoked", fields=accounts.present(fields)))


def _about(token: Any) -> dict[str, object]:
    """Return what a stored token says of itself; nothing is read for it."""
    owner = getattr(token, "user_id", None)
    fields = {
        "user.id": None if owner is None else str(owner),
        "seclog.target.id": None if owner is None else str(owner),
        "seclog.token.id_hash": accounts.token_hash(getattr(token, "access_token", None)),
        "seclog.token.type": _KIND,
    }
    return accounts.present(fields)


def _client(original: Any, authentication: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(authentication, request, *args, **kwargs)
    except Exception as error:
        with contained("a refused client"):
            if type(error).__name__ == "InvalidClientError":
                name = request.payload.client_id or getattr(getattr(request, "_request", None), "authorization", None)
                name = getattr(name, "username", name)
                api.login_failed(name or "", "invalid_client", known=False, auth_method="oauth2_client")
        raise


def _refused_grant(original: Any, server: Any, request: Any, error: Any, *args: Any, **kwargs: Any) -> Any:
    """A code or a refresh token that is unknown, used, or another client's."""
    with contained("a refused grant"):
        if getattr(error, "error", None) == "invalid_grant":
            sent = request.payload.data.get("refresh_token") or request.payload.data.get("code")
            fields = {
                "seclog.token.id_hash": accounts.token_hash(sent),
                "seclog.token.type": f"oauth2_{request.payload.grant_type}",
                "seclog.client.id": request.payload.client_id,
            }
            tell(Event(type=EventType.AUTHN_TOKEN_INVALID, reason="invalid_grant", fields=accounts.present(fields)))
    return original(server, request, error, *args, **kwargs)


def _validate(original: Any, validator: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        result = original(validator, token, *args, **kwargs)
    except Exception as error:
        with contained("a refused token"):
            _tell_refusal(type(error).__name__, token, *args, **kwargs)
        raise
    with contained("the user of a token"):
        owner = getattr(token, "user_id", None)
        if owner is not None and accounts.acting_user() is None:
            api.bind_user(owner)
    return result


def _tell_refusal(error: str, token: Any, scopes: Any = None, request: Any = None, **kwargs: Any) -> None:
    if error == "InsufficientScopeError":
        owner = getattr(token, "user_id", None)
        if owner is not None and accounts.acting_user() is None:
            api.bind_user(owner)
        needed = scopes if isinstance(scopes, str) else " ".join(map(str, scopes or ()))
        fields: dict[str, object] = {"seclog.permission": needed}
        accounts.propose(Event(type=EventType.AUTHZ_FAIL, reason="insufficient_scope", fields=fields))
    elif error == "InvalidTokenError":
        if token is None:
            kind, reason = EventType.AUTHN_TOKEN_INVALID, "unknown_token"
            sent = str(request.headers.get("Authorization", "")).partition(" ")[2] if request is not None else None
            fields = accounts.present({"seclog.token.id_hash": accounts.token_hash(sent), "seclog.token.type": _KIND})
        elif token.is_expired():
            kind, reason, fields = EventType.AUTHN_TOKEN_EXPIRED, "expired", _about(token)
        else:
            kind, reason, fields = EventType.AUTHN_TOKEN_REUSE, "revoked", _about(token)
        with attempt() as session_user:
            tell(Event(type=kind, reason=reason, fields={**fields, **session_user}))


# ── the client ────────────────────────────────────────────────────────────────────────────────────────────────────


def _callback(original: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(*args, **kwargs)
    except Exception as error:
        with contained("a login elsewhere"):
            _tell_callback(error)
        raise


async def _acallback(original: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return await original(*args, **kwargs)
    except Exception as error:
        with contained("a login elsewhere"):
            _tell_callback(error)
        raise


def _tell_callback(error: Exception) -> None:
    """Tell what came back from the provider instead of a login."""
    code = getattr(error, "error", None)
    if type(error).__name__ == "MismatchingStateError":
        accounts.propose(Event(type=EventType.MALICIOUS_CSRF, reason="state_mismatch"))
    elif any(kind.__name__ in {"AuthlibBaseError", "JoseError"} for kind in type(error).__mro__):
        with attempt() as session_user:
            fields: dict[str, object] = {"seclog.auth.method": "oauth", **session_user}
            tell(Event(type=EventType.AUTHN_LOGIN_FAIL, reason=_word(code), fields=fields))


def _word(code: object) -> str:
    """Return an error code as OAuth defines them; anything else came from the client's own URL."""
    text = str(code or "")
    return text if text.isascii() and text.replace("_", "").isalpha() and len(text) <= 64 else "refused"
