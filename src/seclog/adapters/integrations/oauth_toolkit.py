"""django-oauth-toolkit: tokens issued, refreshed, revoked, used again, refused; clients that fail; logins by password.

The library's one signal tells that an app was authorised, nothing else. `OAuth2Validator` is where every grant passes,
a project's own subclass included; tokens made or revoked past it (the admin, an app's code) are seen as rows.
A token is named by its checksum, as the library stores it where it stores no token at all.

Tested with django-oauth-toolkit 3.4.1.
"""

import base64
import binascii
import hashlib
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.db import router
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from seclog import api
from seclog.adapters._hooks import contained, safely, tell
from seclog.adapters.django.login import succeeded
from seclog.adapters.django.model_changes import tell_after_commit
from seclog.adapters.integrations._library import Library
from seclog.adapters.integrations._tokens import about_token, token_hash
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("django-oauth-toolkit")
_VALIDATOR: Final = "oauth2_provider.oauth2_validators.OAuth2Validator"
_ACCESS: Final = "oauth2_access"
_REFRESH: Final = "oauth2_refresh"

_issuing: ContextVar[bool] = ContextVar("seclog_oauth_issuing", default=False)
"""Whether a grant is being answered: what happens to the rows meanwhile is told as one thing."""


def connect() -> None:
    """Wrap the validator, and listen to the rows of tokens."""
    if not apps.is_installed("oauth2_provider"):
        return
    for name, around in (
        ("save_bearer_token", _save),
        ("authenticate_client", _client),
        ("validate_user", _user),
        ("validate_refresh_token", _validate_refresh),
        ("validate_bearer_token", _validate_access),
        ("validate_code", _validate_code),
    ):
        library.wrap(f"{_VALIDATOR}.{name}", around)
    access, refresh = (library.find(f"oauth2_provider.models.get_{kind}_token_model") for kind in ("access", "refresh"))
    if access is not None:
        post_save.connect(_access_saved, sender=access(), dispatch_uid="seclog.oauth")
        post_delete.connect(_access_deleted, sender=access(), dispatch_uid="seclog.oauth")
    if refresh is not None:
        post_save.connect(_refresh_saved, sender=refresh(), dispatch_uid="seclog.oauth")


# ── issued and refreshed ──────────────────────────────────────────────────────────────────────────────────


def _save(original: Any, validator: Any, token: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    presented = getattr(request, "refresh_token", None) if request.grant_type == "refresh_token" else None
    running = _issuing.set(True)
    try:
        result = original(validator, token, request, *args, **kwargs)
    finally:
        _issuing.reset(running)
    with contained("an issued token"):
        _tell_issued(token, request, presented)
    return result


def _tell_issued(token: Any, request: Any, presented: Any) -> None:
    from oauth2_provider.models import get_access_token_model

    owner = getattr(request.user, "pk", None)
    new = _hash(token["access_token"])
    if presented:
        fields = about_token(owner, _hash(presented), _REFRESH)
        fields["seclog.token.new_id_hash"] = _hash(token.get("refresh_token") or token["access_token"])
        kind = EventType.AUTHN_TOKEN_REFRESHED
    else:
        fields = about_token(owner, new, _ACCESS)
        kind = EventType.AUTHN_TOKEN_CREATED
    expires = timezone.now() + timedelta(seconds=token.get("expires_in") or 0)
    fields |= {
        **_of_client(request.client),
        "seclog.token.scope": token.get("scope", ""),
        "seclog.token.expires": _time(expires),
        "seclog.grant_type": request.grant_type,
    }
    tell_after_commit(router.db_for_write(get_access_token_model()), [Event(type=kind, fields=fields)])


@safely
def _access_saved(
    sender: Any, instance: Any, created: bool = False, raw: bool = False, using: Any = None, **kwargs: Any
) -> None:
    if not created or raw or _issuing.get():
        return
    fields = {
        **_about(instance, _ACCESS),
        "seclog.token.scope": instance.scope,
        "seclog.token.expires": _time(instance.expires),
    }
    tell_after_commit(using, [Event(type=EventType.AUTHN_TOKEN_CREATED, fields=fields)])


# ── revoked ───────────────────────────────────────────────────────────────────────────────────────────────


@safely
def _access_deleted(sender: Any, instance: Any, using: Any = None, **kwargs: Any) -> None:
    if _issuing.get() or instance.is_expired():
        return  # replaced; or swept away after its end
    event = Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="revoked", fields=_about(instance, _ACCESS))
    tell_after_commit(using, [event])


@safely
def _refresh_saved(
    sender: Any, instance: Any, created: bool = False, raw: bool = False, using: Any = None, **kwargs: Any
) -> None:
    if raw or _issuing.get() or created or instance.revoked is None:
        return
    event = Event(type=EventType.AUTHN_TOKEN_REVOKED, reason="revoked", fields=_about(instance, _REFRESH))
    tell_after_commit(using, [event])


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────


def _client(original: Any, validator: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    authenticated = original(validator, request, *args, **kwargs)
    if not authenticated:
        with contained("a client that failed"):
            client_id = _client_id(request)
            if client_id:
                known = _is_client(client_id)
                api.login_failed(
                    client_id,
                    "invalid_client_secret" if known else "unknown_client",
                    known=known,
                    auth_method="client_credentials",
                )
    return authenticated


def _is_client(client_id: str) -> bool:
    from oauth2_provider.models import get_application_model

    return bool(get_application_model()._default_manager.filter(client_id=client_id).exists())


def _client_id(request: Any) -> str | None:
    """Return the id that a client gave in the body or by Basic authentication; a bearer token is no client's login."""
    if getattr(request, "client_id", None):
        return str(request.client_id)
    scheme, _, encoded = str(request.headers.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _user(original: Any, validator: Any, username: Any, *args: Any, **kwargs: Any) -> Any:
    """The password grant: its success sends no signal, its failure does."""
    valid = original(validator, username, *args, **kwargs)
    if valid:
        with contained("a login for a token"):
            request = args[2] if len(args) > 2 else kwargs["request"]
            api.bind_user(request.user.pk, request.user.get_username())
            tell(succeeded(request.user, None, **{"seclog.token.type": _ACCESS, **_of_client(request.client)}))
    return valid


def _validate_refresh(original: Any, validator: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    valid = original(validator, token, *args, **kwargs)
    if not valid:
        with contained("a refused token"):
            row = _row("refresh", token)
            if row is not None and row.revoked is not None:
                _refused(EventType.AUTHN_TOKEN_REUSE, None, _about(row, _REFRESH))
            elif row is not None:
                _refused(EventType.AUTHN_TOKEN_INVALID, "refused", _about(row, _REFRESH))
            else:
                _refused(EventType.AUTHN_TOKEN_INVALID, "unknown_token", about_token(None, _hash(token), _REFRESH))
    return valid


def _validate_access(original: Any, validator: Any, token: Any, *args: Any, **kwargs: Any) -> Any:
    valid = original(validator, token, *args, **kwargs)
    if not valid and token:
        with contained("a refused token"):
            row = _row("access", token)
            if row is None:
                _refused(EventType.AUTHN_TOKEN_INVALID, "unknown_token", about_token(None, _hash(token), _ACCESS))
            elif row.is_expired():
                _refused(EventType.AUTHN_TOKEN_EXPIRED, "expired", _about(row, _ACCESS))
            # else a good token whose scope does not reach: the refused request says so
    return valid


def _validate_code(original: Any, validator: Any, client_id: Any, code: Any, *args: Any, **kwargs: Any) -> Any:
    valid = original(validator, client_id, code, *args, **kwargs)
    if not valid:
        with contained("a refused code"):
            fields = about_token(None, _hash(code), "oauth2_code")
            _refused(EventType.AUTHN_TOKEN_INVALID, "invalid_code", fields)
    return valid


def _refused(kind: EventType, reason: str | None, fields: dict[str, object]) -> None:
    if "seclog.target.id" in fields:
        fields["user.id"] = fields["seclog.target.id"]
    with attempt() as session_user:
        tell(Event(type=kind, reason=reason, fields={**fields, **session_user}))


# ── what a token says ─────────────────────────────────────────────────────────────────────────────────────


def _about(row: Any, kind: str) -> dict[str, object]:
    return {**about_token(row.user_id, token_hash(row.token_checksum), kind), **_of_client(row.application)}


def _of_client(application: Any) -> dict[str, object]:
    if application is None:
        return {}
    return {"seclog.client.id": application.client_id, "seclog.client.name": application.name or None}


def _hash(token: Any) -> str | None:
    return token_hash(_checksum(token))


def _checksum(token: Any) -> str:
    return hashlib.sha256(str(token).encode("utf-8", "replace")).hexdigest()


def _row(kind: str, token: Any) -> Any:
    """Look a refused token up: worth a query, which only a refusal costs."""
    from oauth2_provider import models

    model = getattr(models, f"get_{kind}_token_model")()
    rows = model._base_manager.filter(token_checksum=_checksum(token)).select_related("application")
    return rows.order_by("-pk").first()


def _time(moment: Any) -> str:
    return str(moment.isoformat(timespec="seconds")).replace("+00:00", "Z")
