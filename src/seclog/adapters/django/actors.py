"""Who acts on whom: what the hooks on logins, passwords, sessions and tokens share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from seclog.adapters.django import request as scopes
from seclog.context import Scope, current, enter, leave


def acting_user() -> str | None:
    """Return the id of whoever acts: the request's user, as far as already known, or a job's named actor."""
    scope = current()
    return None if scope is None else scope.ready().user_id


def resolve_actor() -> None:
    """Find out who acts, for an event that is sure to follow: that is worth a look-up."""
    scope = current()
    if scope is not None:
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


@contextmanager
def attempt() -> Iterator[dict[str, object]]:
    """Record an attempt in the block: its user is the one that was named, not the one who is logged in.

    Yields:
        A field that keeps the fact who is logged in, if anybody is.
    """
    scope = current()
    session_user = acting_user()
    if scope is None or session_user is None:
        yield {}
        return
    nameless = _Nameless(scope)
    token = enter(nameless)
    try:
        yield {"seclog.session.user_id": session_user}
    finally:
        leave(token)
        scope.recorded += nameless.recorded


class _Nameless(Scope):
    """Another scope's context without its user."""

    __slots__ = ("parent",)

    def __init__(self, parent: Scope) -> None:
        super().__init__()
        self.parent = parent

    def fill(self) -> None:
        self._context = msgspec.structs.replace(self.parent.ready(), user_id=None, user_name=None)

    def not_recorded(self) -> None:
        self.parent.not_recorded()
