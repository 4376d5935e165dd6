"""Django REST framework, tokens: issued, revoked, refused; and the login by password that yields one.

Loaded only where `rest_framework` is among the installed apps; the token model only where
`rest_framework.authtoken` is.
The token itself is nowhere: a keyed hash names it, the same one when it is issued, refused and revoked.
"""

from functools import cache
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db.models.signals import post_delete, post_save

from seclog import api
from seclog.adapters._hooks import contained, safely, tell, wrap_method
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import acting_user, resolve_actor
from seclog.adapters.django.login import succeeded
from seclog.adapters.django.model_changes import tell_after_commit
from seclog.events import Event, EventType

_TYPE: Final = "drf_authtoken"
_IN_LOGIN: Final = "rest_framework.token_login"


def connect() -> None:
    """Wrap the authentication by token, the login that yields one, and listen to the token model."""
    if not apps.is_installed("rest_framework"):
        return
    from rest_framework.authentication import TokenAuthentication

    wrap_method(TokenAuthentication, "authenticate", _authenticate, library=_library())
    if not apps.is_installed("rest_framework.authtoken"):
        return
    from rest_framework.authtoken.models import Token
    from rest_framework.authtoken.serializers import AuthTokenSerializer
    from rest_framework.authtoken.views import ObtainAuthToken

    for model in apps.get_models():
        if issubclass(model, Token):  # the admin works with a proxy, which sends its own signals
            post_save.connect(_saved, sender=model, dispatch_uid="seclog.drf_token_saved")
            post_delete.connect(_deleted, sender=model, dispatch_uid="seclog.drf_token_deleted")
    wrap_method(ObtainAuthToken, "dispatch", _dispatch, library=_library())
    wrap_method(AuthTokenSerializer, "validate", _validate, library=_library())


@cache
def _library() -> str:
    import rest_framework

    return f"Django REST framework {rest_framework.VERSION}"


def _hash(key: str) -> str | None:
    installation = api.installed()
    return None if installation is None else installation.pseudonym("token", key)


# ── issued and revoked ────────────────────────────────────────────────────────────────────────────────────


@safely
def _saved(
    sender: Any, instance: Any, created: bool = False, raw: bool = False, using: Any = None, **kwargs: Any
) -> None:
    if created and not raw:
        # These tokens carry all rights of their user, and last until they are deleted.
        fields = {**_fields(instance), "seclog.token.scope": "all", "seclog.token.expires": "never"}
        tell_after_commit(using, [Event(type=EventType.AUTHN_TOKEN_CREATED, fields=fields)])


@safely
def _deleted(sender: Any, instance: Any, using: Any = None, origin: Any = None, **kwargs: Any) -> None:
    # `origin` is the object or the query that the deletion began with: the token goes with its user.
    source = getattr(origin, "model", None) or type(origin)
    reason = "user_deleted" if issubclass(source, get_user_model()) else "deleted"
    tell_after_commit(using, [Event(type=EventType.AUTHN_TOKEN_REVOKED, reason=reason, fields=_fields(instance))])


def _fields(token: Any) -> dict[str, object]:
    owner = str(token.user_id)
    resolve_actor()
    return {
        "user.id": acting_user() or owner,
        "seclog.target.id": owner,
        "seclog.token.id_hash": _hash(token.key),
        "seclog.token.type": _TYPE,
    }


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────


def _authenticate(original: Any, authentication: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(authentication, request, *args, **kwargs)
    except Exception as error:
        with contained("a refused token"):
            if getattr(error, "status_code", None) == 401:  # AuthenticationFailed, not a fault of the database
                _tell_refusal(authentication, request, error)
        raise


def _tell_refusal(authentication: Any, request: Any, error: Exception) -> None:
    scope = scopes.of()
    if scope is not None and EventType.AUTHN_TOKEN_INVALID in scope.recorded:
        return  # asked again in the same request
    fields: dict[str, object] = {"seclog.token.type": _TYPE}
    parts = str(request.META.get("HTTP_AUTHORIZATION", "")).split()
    if len(parts) != 2:
        reason = "malformed"
    else:
        fields["seclog.token.id_hash"] = _hash(parts[1])
        reason = _refusal(authentication, error)
    tell(Event(type=EventType.AUTHN_TOKEN_INVALID, reason=reason, fields=fields))


def _refusal(authentication: Any, error: Exception) -> str:
    """Return why a token was refused. The messages are translated, so the cause decides, not the text."""
    from rest_framework.authentication import TokenAuthentication

    if isinstance(error.__context__, ObjectDoesNotExist):
        return "unknown_token"
    if isinstance(error.__context__, UnicodeError):
        return "malformed"
    theirs = type(authentication).authenticate_credentials is TokenAuthentication.authenticate_credentials
    return "inactive" if theirs else "refused"


# ── a login that yields a token ───────────────────────────────────────────────────────────────────────────


def _dispatch(original: Any, *args: Any, **kwargs: Any) -> Any:
    scope = scopes.of()
    if scope is not None:
        scope.note(_IN_LOGIN, True)
    return original(*args, **kwargs)


def _validate(original: Any, serializer: Any, *args: Any, **kwargs: Any) -> Any:
    """No signal tells of this login. Other views use the serializer too, and log in by Django's means."""
    validated = original(serializer, *args, **kwargs)
    with contained("a login for a token"):
        scope = scopes.of()
        user = validated.get("user")
        if scope is not None and scope.noted(_IN_LOGIN) and user is not None:
            api.bind_user(user.pk, user.get_username())
            tell(succeeded(user, scope.request, **{"seclog.token.type": _TYPE}))
    return validated
