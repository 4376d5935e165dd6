"""Flask-JWT-Extended: tokens issued, expired, invalid, revoked, and whom a token stands for.

The library sends no signal. Tokens are issued in one place; refusals end in callbacks, which the app may replace at
any time and which are looked up at call time, so what is wrapped is the error handlers' way to them. A refresh is the
issue of an access token while a refresh token is presented; a login is the issue of one to nobody yet, where the
adapter takes the endpoint for a login (`SecLog(app, login_heuristic=False)` turns that off).
Tested with Flask-JWT-Extended 4.7.4.
"""

from typing import Any, Final

from flask import Flask, g, has_app_context

from seclog import api
from seclog.adapters._hooks import contained, tell, wrap_method
from seclog.adapters.flask import login
from seclog.adapters.flask import request as requests
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("Flask-JWT-Extended")
_EXTENSION: Final = "flask-jwt-extended"
_FAULTS: Final = {
    "InvalidSignatureError": "bad_signature",
    "InvalidAudienceError": "wrong_audience",
    "InvalidIssuerError": "wrong_issuer",
    "MissingRequiredClaimError": "missing_claim",
    "WrongTokenError": "wrong_type",
    "UserClaimsVerificationError": "refused_claims",
    "FreshTokenRequired": "not_fresh",
    "UserLookupError": "unknown_user",
    "InvalidAlgorithmError": "wrong_algorithm",
}
_OPEN: Final = {"NoAuthorizationError"}
"""No token at all: the status tells that."""


def connect(app: Flask) -> None:
    """Wrap the issue of tokens, the look at a presented one, and the decoding of both."""
    library.wrap("flask_jwt_extended.jwt_manager.JWTManager._encode_jwt_from_config", _encode)
    view = library.find("flask_jwt_extended.view_decorators")
    if view is not None:
        wrap_method(view, "_decode_jwt_from_request", _decode, library=str(library))
        wrap_method(view, "_load_user", _load_user, library=str(library))


def _encode(original: Any, manager: Any, *args: Any, **kwargs: Any) -> Any:
    token = original(manager, *args, **kwargs)
    with contained("an issued token"):
        claims = _claims(token)
        kind = f"jwt_{claims.get('type', 'access')}"
        owner = _owner(claims)
        presented = _presented()
        scope = requests.of()
        if scope is not None and not presented and accounts.acting_user() is None and login.is_attempt(scope):
            accounts.login_succeeded(owner, None, "password", **{"seclog.token.type": kind})
        fields: dict[str, object] = {
            "user.id": accounts.acting_user() or owner,
            "seclog.target.id": owner,
            "seclog.token.id_hash": accounts.token_hash(claims.get("jti")),
            "seclog.token.type": kind,
            "seclog.token.scope": claims.get("scope", "all"),
            "seclog.token.expires": accounts.expiry(claims.get("exp")) or "never",
        }
        if presented.get("type") == "refresh":
            fields["seclog.token.new_id_hash"] = fields["seclog.token.id_hash"]
            fields["seclog.token.id_hash"] = accounts.token_hash(presented.get("jti"))
            tell(Event(type=EventType.AUTHN_TOKEN_REFRESHED, fields=accounts.present(fields)))
        else:
            tell(Event(type=EventType.AUTHN_TOKEN_CREATED, fields=accounts.present(fields)))
    return token


def _presented() -> dict[str, Any]:
    """Return the claims of the token that this request came with and that was found good."""
    return (g.get("_jwt_extended_jwt") or {}) if has_app_context() else {}


def _claims(token: Any) -> dict[str, Any]:
    """Return what a token says, good or not. Nothing is decided by it."""
    import jwt

    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return {}
    return claims


def _owner(claims: dict[str, Any]) -> str | None:
    from flask_jwt_extended.config import config

    owner = claims.get(config.identity_claim_key)
    return None if owner is None else str(owner)


def _decode(original: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        found = original(*args, **kwargs)
    except Exception as error:
        with contained("a refused token"):
            _tell_refusal(error)
        raise
    with contained("the user of a token"):
        claims = found[0]
        owner = _owner(claims)
        if owner is not None and accounts.acting_user() is None:
            api.bind_user(owner)
    return found


def _load_user(original: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(*args, **kwargs)
    except Exception as error:
        with contained("a token of nobody"):
            if type(error).__name__ == "UserLookupError":
                _tell_refusal(error)
        raise


def _tell_refusal(error: Exception) -> None:
    name = type(error).__name__
    told = (EventType.AUTHN_TOKEN_INVALID, EventType.AUTHN_TOKEN_EXPIRED, EventType.AUTHN_TOKEN_REUSE)
    if name in _OPEN or accounts.is_told(*told):
        return
    if name == "CSRFError":
        accounts.propose(Event(type=EventType.MALICIOUS_CSRF, reason="token_incorrect"))
        return
    claims: dict[str, Any] = getattr(error, "jwt_data", None) or {}
    if name == "ExpiredSignatureError":
        _refused(EventType.AUTHN_TOKEN_EXPIRED, "expired", claims)
    elif name == "RevokedTokenError":
        _refused(EventType.AUTHN_TOKEN_REUSE, "revoked", claims)
    else:
        from flask_jwt_extended.exceptions import JWTExtendedException
        from jwt import PyJWTError

        if isinstance(error, JWTExtendedException | PyJWTError):
            _refused(EventType.AUTHN_TOKEN_INVALID, _FAULTS.get(name, "malformed"), claims)


def _refused(kind: EventType, reason: str, claims: dict[str, Any]) -> None:
    """Tell a refusal. The claims are those of a token whose signature was good, or none."""
    owner = _owner(claims)
    fields: dict[str, object] = {
        "user.id": owner,
        "seclog.target.id": owner,
        "seclog.token.id_hash": accounts.token_hash(claims.get("jti")),
        "seclog.token.type": f"jwt_{claims['type']}" if "type" in claims else None,
    }
    with attempt() as session_user:
        tell(Event(type=kind, reason=reason, fields=accounts.present({**fields, **session_user})))
