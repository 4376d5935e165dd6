"""Who acts on whom: what the hooks on logins, passwords, sessions and tokens share."""

from typing import Any

from seclog.adapters.django import request as scopes
from seclog.context import current
from seclog.events import EventType


def acting_user() -> str | None:
    """Return the id of whoever acts: the request's user, as far as already known, or a job's named actor."""
    scope = current()
    return None if scope is None else scope.ready().user_id


def resolve_actor() -> None:
    """Find out who acts, for an event that is sure to follow: that is worth a look-up.

    Not after a failed login: whoever guesses passwords must not cost queries, and acts for nobody.
    """
    scope = current()
    if scope is not None and EventType.AUTHN_LOGIN_FAIL not in scope.recorded:
        scope.resolve_user()


def method_of(target_id: object) -> str:
    """Tell by whom something is done to a user's account.

    Args:
        target_id: the user it is done to.

    Returns:
        "self", "admin" (another user), "anonymous" (a request without a user), or "system" (a job).
    """
    actor = acting_user()
    if actor == str(target_id):
        return "self"
    if scopes.of() is None:
        return "system"
    return "anonymous" if actor is None else "admin"


def user_fields(user: Any, *, prefix: str = "seclog.target") -> dict[str, object]:
    """Return id and name of a user, as the target of an event or (prefix "user") as the one who acts."""
    return {f"{prefix}.id": str(user.pk), f"{prefix}.name": user.get_username()}
