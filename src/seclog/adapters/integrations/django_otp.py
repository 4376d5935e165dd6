"""django-otp, and with it django-two-factor-auth: second factors used, refused, enrolled and removed.

Every way to check a token, the forms of both libraries included, ends in `verify_token` of a device's own class; the
signals tell only some failures of some forms. A device counts as enrolled once it is confirmed.

Tested with django-otp 1.7.5 and django-two-factor-auth 1.18.1.
"""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

from django.apps import apps

from seclog.adapters._hooks import contained, tell, wrap_method
from seclog.adapters.django.actors import acting_user, user_fields
from seclog.adapters.django.model_changes import Change, Row, observe
from seclog.adapters.integrations._library import Library
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("django-otp")

_FACTORS: Final = {"staticdevice": "recovery_codes"}
_matching: ContextVar[bool] = ContextVar("seclog_otp_matching", default=False)
"""Whether all devices of a user are tried in turn: those that do not fit are no failures."""


def connect() -> None:
    """Observe and wrap the model of each kind of device."""
    if not apps.is_installed("django_otp"):
        return
    device = library.find("django_otp.models.Device")
    if device is None:
        return
    library.wrap("django_otp.match_token", _match)
    for model in apps.get_models():
        if issubclass(model, device):
            observe(model, "factors", _Devices(model))
            # not the inherited one: it is called by its overriders
            if "verify_token" in vars(model):
                wrap_method(model, "verify_token", _verify, library=str(library))


def _factor(model: Any) -> str:
    name = model._meta.model_name
    return _FACTORS.get(name) or name.removesuffix("device") or name


def _verify(original: Any, device: Any, *args: Any, **kwargs: Any) -> Any:
    verified = original(device, *args, **kwargs)
    with contained("a second factor"):
        fields = {**user_fields(device.user, prefix="user"), "seclog.auth.factor": _factor(type(device))}
        if verified:
            tell(Event(type=EventType.AUTHN_MFA_SUCCESS, fields=fields))
        elif not _matching.get():
            with attempt() as session_user:
                fields |= session_user
                tell(Event(type=EventType.AUTHN_MFA_FAIL, reason="invalid_code", fields=fields))
    return verified


def _match(original: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
    token = _matching.set(True)
    try:
        device = original(user, *args, **kwargs)
    finally:
        _matching.reset(token)
    with contained("a second factor"):
        if device is None and user.is_authenticated:
            with attempt() as session_user:
                fields = {**user_fields(user, prefix="user"), "seclog.auth.factor": "any", **session_user}
                tell(Event(type=EventType.AUTHN_MFA_FAIL, reason="invalid_code", fields=fields))
    return device


class _Devices:
    """Makes events of rows of one kind of device."""

    def __init__(self, model: Any) -> None:
        self.fields = (model._meta.get_field("confirmed"),)
        self.title = model._meta.get_field("user")
        self._factor = _factor(model)

    def created(self, row: Row) -> Iterator[Event]:
        """Tell of a device that needs no confirmation."""
        if row.values.get("confirmed"):
            yield self._event(EventType.AUTHN_MFA_ENROLLED, row)

    def changed(self, row: Row, changes: list[Change]) -> Iterator[Event]:
        """Tell that a device was confirmed, or switched off."""
        for change in changes:
            yield self._event(EventType.AUTHN_MFA_ENROLLED if change.new else EventType.AUTHN_MFA_REMOVED, row)

    def deleted(self, row: Row) -> Iterator[Event]:
        """Tell of a factor's end; a device that never was confirmed was none."""
        if row.values.get("confirmed"):
            yield self._event(EventType.AUTHN_MFA_REMOVED, row)

    def _event(self, kind: EventType, row: Row) -> Event:
        owner = row.values.get("user")
        fields: dict[str, object] = {"seclog.auth.factor": self._factor}
        if owner is not None:
            fields |= {"user.id": acting_user() or str(owner), "seclog.target.id": str(owner)}
        return Event(type=kind, fields=fields)
