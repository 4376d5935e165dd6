"""What allauth's pages and its headless API refuse alike: links of resets, and new passwords."""

from typing import Any

from seclog.adapters._hooks import tell
from seclog.adapters.django import passwords
from seclog.adapters.django.actors import acting_user, user_fields
from seclog.events import Event, EventType


def tell_bad_link(uid: str, key: str) -> None:
    """Tell that a link of a password reset was not taken, and whose it is as far as it says.

    Args:
        uid: the user's id as it stands in the link.
        key: the link's secret part; only its form decides the reason.
    """
    from allauth.account.forms import UserTokenForm

    user = UserTokenForm()._get_user(uid)
    reason = "unknown_user" if user is None else passwords.link_fault(key)
    fields = {} if user is None else user_fields(user)
    tell(Event(type=EventType.AUTHN_PASSWORD_RESET_FAIL, reason=reason, fields=fields))


def tell_refused_password(form: Any, event_type: EventType, current: str = "oldpassword") -> None:
    """Tell that a form or an input refused a new password.

    Args:
        form: what refused; it knows its user.
        event_type: what was to be done, as a failure.
        current: the field with the password of today.
    """
    user = getattr(form, "user", None)
    if not form.is_bound or not form._errors or user is None:
        return
    fields: dict[str, object] = user_fields(user)
    if event_type == EventType.AUTHN_PASSWORD_CHANGE_FAIL:
        fields |= {"seclog.method": "self", "user.id": acting_user() or str(user.pk)}
    codes = [str(error.code) for errors in form._errors.as_data().values() for error in errors if error.code]
    fields["seclog.validation.codes"] = codes
    reason = "wrong_password" if current in form._errors else "weak_password"
    tell(Event(type=event_type, reason=reason, fields=fields))
