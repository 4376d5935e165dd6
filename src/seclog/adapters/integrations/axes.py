"""django-axes: accounts locked after failed logins, attempts while locked, and unlocking.

The lock is told once, when it falls; each further attempt is a failed login with reason "locked" and the refused
request (429). The library's signal fires for all of them and does not tell which is which: the back end that refuses
before the password is looked at does.

Tested with django-axes 8.3.1.
"""

from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model

from seclog import api
from seclog.adapters._hooks import contained, safely, tell
from seclog.adapters.django import request as scopes
from seclog.adapters.django.actors import resolve_actor
from seclog.adapters.django.login import REFUSED
from seclog.adapters.integrations._library import Library
from seclog.context import attempt
from seclog.events import Event, EventType

library = Library("django-axes")


def connect() -> None:
    """Listen to the lock-out, and wrap the back end that refuses and the reset."""
    if not apps.is_installed("axes"):
        return
    library.listen("axes.signals.user_locked_out", _locked_out)
    library.wrap("axes.backends.AxesStandaloneBackend.authenticate", _refuse)
    library.wrap("axes.handlers.proxy.AxesProxyHandler.reset_attempts", _reset)


def _refuse(original: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(*args, **kwargs)
    except Exception as error:
        with contained("an attempt while locked"):
            scope = scopes.of()
            if scope is not None and type(error).__name__ == "AxesBackendPermissionDenied":
                scope.note(REFUSED, "locked")
        raise


@safely
def _locked_out(sender: Any, request: Any = None, username: Any = None, ip_address: Any = None, **kwargs: Any) -> None:
    scope = scopes.of()
    limit = _limit(request)
    if scope is not None:
        scope.propose(Event(type=EventType.EXCESS_RATE_LIMIT_EXCEEDED, reason="locked_out", fields=limit))
        if scope.noted(REFUSED) == "locked":
            return  # locked before: told then
    with attempt() as session_user:
        fields = {**_named(username), **limit, **session_user}
        tell(Event(type=EventType.AUTHN_LOGIN_LOCK, reason="too_many_failures", fields=fields))


def _named(username: Any, prefix: str = "user") -> dict[str, object]:
    """Name the account: by a query, worth it for a lock; a name that nobody has is written as a pseudonym."""
    if not username:
        return {}  # an address was locked, not an account
    model = get_user_model()
    user = model._default_manager.filter(**{model.USERNAME_FIELD: username}).first()
    if user is not None:
        return {f"{prefix}.id": str(user.pk), f"{prefix}.name": user.get_username()}
    installation = api.installed()
    return {} if installation is None else {f"{prefix}.name": installation.unknown_name(str(username))}


def _limit(request: Any) -> dict[str, object]:
    from axes.helpers import get_cool_off, get_failure_limit

    fields: dict[str, object] = {"seclog.limit": get_failure_limit(request, getattr(request, "axes_credentials", None))}
    try:
        window = get_cool_off(request)
    except TypeError:  # axes 6 asks no request
        window = get_cool_off()
    if isinstance(window, timedelta):
        fields["seclog.window"] = int(window.total_seconds())
    return fields


def _reset(original: Any, *args: Any, **kwargs: Any) -> Any:
    """A success of the account's own owner resets elsewhere: this is an administrator's, or a command's."""
    count = original(*args, **kwargs)
    with contained("an unlocked account"):
        if count:
            username, address = kwargs.get("username"), kwargs.get("ip_address")
            fields: dict[str, object] = {**_named(username, "seclog.target"), "seclog.count": count}
            if address:
                fields["seclog.target.address"] = str(address)
            resolve_actor()
            tell(Event(type=EventType.AUTHN_LOGIN_UNLOCK, fields=fields))
    return count
