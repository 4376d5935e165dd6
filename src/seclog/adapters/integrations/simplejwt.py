"""djangorestframework-simplejwt: logins by token pair; tokens issued, refreshed, revoked, used again, expired, invalid.

The library sends no signal. A token is issued in `for_user`, refused in `Token.__init__`; both are where every way
through the library (views, authentication, an app's own code) passes. A token pair is one entry: its access token is
derived from the refresh token, and whoever follows the refresh token's id finds the whole line.

Tested with djangorestframework-simplejwt 5.5.1.
"""

from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models.signals import post_save

from seclog import api
from seclog.adapters._hooks import contained, safely, tell
from seclog.adapters.django import request as scopes
from seclog.adapters.django.login import succeeded
from seclog.adapters.django.model_changes import MAX_ROWS, doubtful, listen_to_bulk_create, tell_after_commit
from seclog.adapters.integrations._library import Library
from seclog.adapters.integrations._tokens import about_token, expiry, token_hash
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("djangorestframework-simplejwt")
_PACKAGE: Final = "rest_framework_simplejwt"
_REFRESHING: Final = "simplejwt.refreshing"
_TOLD: Final = "simplejwt.refused"
_USER_REFUSALS: Final = {
    "user_inactive": "inactive",
    "user_not_found": "unknown_user",
    "password_changed": "password_changed",
}
"""The library's codes, and the reasons as other tokens have them."""


def connect() -> None:
    """Wrap the serializers of login and refresh, the tokens, and listen to the blacklist if there is one."""
    library.wrap_when_imported(f"{_PACKAGE}.serializers.TokenObtainSerializer.validate", _login)
    library.wrap_when_imported(f"{_PACKAGE}.serializers.TokenRefreshSerializer.validate", _refresh)
    library.wrap_when_imported(f"{_PACKAGE}.serializers.TokenRefreshSlidingSerializer.validate", _refresh)
    library.wrap_when_imported(f"{_PACKAGE}.tokens.Token.for_user", _issue)
    library.wrap_when_imported(f"{_PACKAGE}.tokens.Token.__init__", _take)
    library.wrap_when_imported(f"{_PACKAGE}.authentication.JWTAuthentication.get_raw_token", _get_raw_token)
    library.wrap_when_imported(f"{_PACKAGE}.authentication.JWTAuthentication.get_user", _get_user)
    if apps.is_installed(f"{_PACKAGE}.token_blacklist"):
        library.wrap_when_imported(f"{_PACKAGE}.tokens.BlacklistMixin.check_blacklist", _check_blacklist)
        model = library.find(f"{_PACKAGE}.token_blacklist.models.BlacklistedToken")
        if model is not None:
            post_save.connect(_blacklisted, sender=model, dispatch_uid="seclog.simplejwt_blacklisted")
            listen_to_bulk_create(model, _all_blacklisted)


# ── login ─────────────────────────────────────────────────────────────────────────────────────────────────


def _login(original: Any, serializer: Any, *args: Any, **kwargs: Any) -> Any:
    """Success sends no signal; failure does, unless the password was right and the library's own rule refuses."""
    serializer.user = None
    try:
        validated = original(serializer, *args, **kwargs)
    except Exception:
        with contained("a refused login for a token"):
            user = getattr(serializer, "user", None)
            if user is not None:
                reason = "refused" if getattr(user, "is_active", True) else "inactive"
                api.login_failed(user.get_username(), reason, user_id=user.pk, auth_method="password")
        raise
    with contained("a login for a token"):
        user = getattr(serializer, "user", None)
        if user is not None:
            api.bind_user(user.pk, user.get_username())
            request = serializer.context.get("request")
            tell(succeeded(user, request, **{"seclog.token.type": _kind(serializer.token_class)}))
    return validated


def _kind(token: Any) -> str:
    return f"jwt_{getattr(token, 'token_type', None) or 'untyped'}"


# ── issued, refreshed, revoked ────────────────────────────────────────────────────────────────────────────


def _issue(original: Any, kind: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    token = original(kind, user, *args, **kwargs)
    with contained("an issued token"):
        fields = {
            **_about(token),
            "seclog.token.scope": token.payload.get("scope", "all"),
            "seclog.token.expires": expiry(token.payload.get("exp")) or "never",
        }
        tell(Event(type=EventType.AUTHN_TOKEN_CREATED, fields=fields))
    return token


def _refresh(original: Any, serializer: Any, attrs: Any, *args: Any, **kwargs: Any) -> Any:
    scope = scopes.of()
    if scope is not None:
        scope.note(_REFRESHING, True)
    try:
        data = original(serializer, attrs, *args, **kwargs)
    finally:
        if scope is not None:
            scope.note(_REFRESHING, None)
    with contained("a refreshed token"):
        old = _read(serializer.token_class, attrs.get("refresh") or attrs.get("token"))
        fields = about_token(_owner(old), token_hash(_id(old)), _kind(serializer.token_class))
        if data.get("refresh"):
            fields["seclog.token.new_id_hash"] = token_hash(_id(_read(serializer.token_class, data["refresh"])))
        tell(Event(type=EventType.AUTHN_TOKEN_REFRESHED, fields=fields))
    return data


@safely
def _blacklisted(
    sender: Any, instance: Any, created: bool = False, raw: bool = False, using: Any = None, **kwargs: Any
) -> None:
    scope = scopes.of()
    if not created or raw or (scope is not None and scope.noted(_REFRESHING)):
        return  # a rotation, told as a refresh
    tell_after_commit(using, [_revocation(instance.token)])


def _all_blacklisted(model: Any, created: list[Any], using: str, unsure: str | None) -> None:
    """A logout on all devices gives up many tokens at once."""
    events = [doubtful(_revocation(row.token), unsure) for row in created[:MAX_ROWS]]
    if len(created) > MAX_ROWS:
        fields = {"seclog.token.type": "jwt_refresh", "seclog.count": len(created) - MAX_ROWS}
        events.append(Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="blacklisted", fields=fields))
    tell_after_commit(using, events)


def _revocation(token: Any) -> Event:
    fields = about_token(token.user_id, token_hash(token.jti), "jwt_refresh")
    return Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="blacklisted", fields=fields)


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────


def _check_blacklist(original: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    """The signature is good: somebody uses a token that was given up, by its owner or by a thief."""
    try:
        return original(token, *args, **kwargs)
    except Exception as error:
        with contained("a token that was revoked"):
            if type(error).__name__ == "TokenError":
                _refused(EventType.AUTHN_TOKEN_REUSE, None, _about(token, refused=True))
        raise


def _take(original: Any, token: Any, encoded: Any = None, *args: Any, **kwargs: Any) -> Any:
    if encoded is None:
        encoded = kwargs.pop("token", None)
    try:
        return original(token, encoded, *args, **kwargs)
    except Exception as error:
        with contained("a refused token"):
            if encoded is not None:
                _tell_refusal(token, encoded, error)
        raise


def _tell_refusal(token: Any, encoded: Any, error: Exception) -> None:
    from rest_framework_simplejwt.exceptions import TokenError
    from rest_framework_simplejwt.settings import api_settings

    if not isinstance(error, TokenError):
        return
    payload = token.__dict__.get("payload")
    expired = type(error).__name__ == "ExpiredTokenError" or (payload is not None and _is_over(payload))
    if expired:  # the signature was looked at first
        token.payload = payload or _read(type(token), encoded)
        _refused(EventType.AUTHN_TOKEN_EXPIRED, "expired", _about(token, refused=True))
    elif payload is None:
        fields: dict[str, object] = {"seclog.token.id_hash": token_hash(encoded), "seclog.token.type": _kind(token)}
        _refused(EventType.AUTHN_TOKEN_INVALID, _invalidity(error), fields)
    elif payload.get(api_settings.TOKEN_TYPE_CLAIM) != token.token_type and (
        len(api_settings.AUTH_TOKEN_CLASSES) == 1  # else the next class may take it
    ):
        _refused(EventType.AUTHN_TOKEN_INVALID, "wrong_type", _about(token, refused=True))


def _get_raw_token(original: Any, authentication: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(authentication, *args, **kwargs)
    except Exception:
        with contained("a refused token"):
            _refused(EventType.AUTHN_TOKEN_INVALID, "malformed", {"seclog.token.type": "jwt_access"})
        raise


def _get_user(original: Any, authentication: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    """A good token of somebody who may not use it any more."""
    try:
        return original(authentication, token, *args, **kwargs)
    except Exception as error:
        with contained("a refused token"):
            detail = getattr(error, "detail", None)
            reason = _USER_REFUSALS.get(str(detail.get("code"))) if isinstance(detail, dict) else None
            if reason is not None:
                _refused(EventType.AUTHN_TOKEN_INVALID, reason, _about(token, refused=True))
        raise


def _invalidity(error: Exception) -> str:
    """Return why a token cannot be read; the library's messages are translated, PyJWT's exceptions decide."""
    cause: BaseException | None = error
    while cause is not None:
        name = type(cause).__name__
        if name == "InvalidSignatureError":
            return "bad_signature"
        if name in {"InvalidAlgorithmError", "InvalidIssuerError", "InvalidAudienceError"}:
            return name.removeprefix("Invalid").removesuffix("Error").lower().join(("wrong_", ""))
        cause = cause.__cause__ or cause.__context__
    return "malformed"


def _refused(kind: EventType, reason: str | None, fields: dict[str, object]) -> None:
    """Tell a refusal once: the same token may be asked again in the same request."""
    scope = scopes.of()
    if scope is not None:
        told = scope.noted(_TOLD) or ()
        key = fields.get("seclog.token.id_hash")
        if key in told:
            return
        scope.note(_TOLD, (*told, key))
    with attempt() as session_user:
        tell(Event(type=kind, reason=reason, fields={**fields, **session_user}))


# ── what a token says ─────────────────────────────────────────────────────────────────────────────────────


def _about(token: Any, *, refused: bool = False) -> dict[str, object]:
    fields = about_token(_owner(token.payload), token_hash(_id(token.payload)), _kind(token))
    if refused and "seclog.target.id" in fields:
        fields["user.id"] = fields["seclog.target.id"]
    return fields


def _owner(payload: Any) -> object:
    from rest_framework_simplejwt.settings import api_settings

    owner = payload.get(api_settings.USER_ID_CLAIM)
    if owner is not None and api_settings.USER_ID_FIELD not in {"id", get_user_model()._meta.pk.name}:
        scope = scopes.of()  # the claim is another field of the user than the one that names users in entries
        return scope.context.user_id if scope is not None else None
    return owner


def _id(payload: Any) -> object:
    from rest_framework_simplejwt.settings import api_settings

    return payload.get(api_settings.JTI_CLAIM)


def _read(kind: Any, encoded: Any) -> Any:
    """Return the claims of a token that the library has checked already."""
    return kind(encoded, verify=False).payload if encoded else {}


def _is_over(payload: Any) -> bool:
    from rest_framework_simplejwt.utils import aware_utcnow, datetime_from_epoch

    expires = payload.get("exp")
    return isinstance(expires, int | float) and datetime_from_epoch(expires) <= aware_utcnow()
