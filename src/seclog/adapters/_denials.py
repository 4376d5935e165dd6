"""Access that was refused: what its entries say, and when a redirect to the login is a refusal. The same in every
framework.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote

from seclog.adapters._scope import WebScope
from seclog.events import Event, EventType

LOGIN_REDIRECT: Final = "redirected_to_login"
"""The reason where somebody who is logged in is sent to the login."""

_ENDS_AT_LOGIN: Final = frozenset(
    {
        EventType.SESSION_LOGOUT,
        EventType.AUTHN_LOGIN_FAIL,
        EventType.AUTHN_PASSWORD_CHANGE,
        EventType.AUTHN_PASSWORD_RESET_COMPLETE,
        EventType.AUTHN_PASSWORD_RESET_REQUEST,
        EventType.USER_CREATED,
    }
)
"""A request that did one of these leads to the login because it is done, not because it was refused."""


def sent_to_login(is_logged_in: bool, view: str | None, permission: str | None) -> Event:
    """Return the event for somebody who is sent to the login instead of what was asked for."""
    return denied(LOGIN_REDIRECT, view, permission) if is_logged_in else unauthenticated("login_required", view)


def denied(reason: str, view: str | None, permission: str | None, **more: object) -> Event:
    """Return the event for somebody who may not do this; the missing permission is named if known."""
    fields = {"seclog.view": view, "seclog.permission": permission, **more}
    return Event(type=EventType.AUTHZ_FAIL, reason=reason, fields=known(fields))


def unauthenticated(reason: str, view: str | None, **more: object) -> Event:
    """Return the event for somebody who would have to say who they are first."""
    return Event(type=EventType.AUTHZ_UNAUTHENTICATED, reason=reason, fields=known({"seclog.view": view, **more}))


def known(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields without those that nobody knows."""
    return {key: value for key, value in fields.items() if value is not None}


def is_refusal(scope: WebScope, method: str | None, path: str, target: SplitResult) -> bool:
    """Tell whether a redirect to a login is a refusal.

    Args:
        scope: the request's.
        method: its method.
        path: its path.
        target: where the redirect leads: a login.
    """
    if scope.recorded and not _ENDS_AT_LOGIN.isdisjoint(scope.recorded):
        return False
    here = path.rstrip("/")
    if here and unquote(target.path).rstrip("/").endswith(here):
        return False  # the login itself, with another scheme, language or slash
    return bool(target.query) or method in {"GET", "HEAD"}  # a form that is done may lead there as well
