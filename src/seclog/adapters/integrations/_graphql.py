"""What the GraphQL libraries share: a denial is an error in an answer that has status 200."""

from collections.abc import Iterable
from typing import Any, Final

from django.core.exceptions import PermissionDenied

from seclog.adapters.django import denials
from seclog.adapters.django import request as scopes

PERMISSION: Final = "seclog_permission_class"
"""The attribute of an exception that names the permission class which raised it."""

_DENIALS: Final = frozenset({"PermissionDenied", "DjangoNoPermission", "NotAuthenticated", "AuthenticationFailed"})
_CODES: Final = frozenset({"UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN", "PERMISSION_DENIED"})
_MAX_PATH: Final = 128


def propose_denials(errors: Iterable[Any] | None) -> None:
    """Offer the first denial among GraphQL errors as the request's event."""
    scope = scopes.of()
    if scope is None:
        return
    for error in errors or ():
        if is_denial(error):
            propose(".".join(map(str, getattr(error, "path", None) or ())), _permission(error))
            return


def propose(path: str, permission: str | None = None) -> None:
    """Offer a denial at a path of the query as the request's event."""
    scope = scopes.of()
    if scope is None:
        return
    fields: dict[str, object] = {"seclog.graphql.path": path[:_MAX_PATH] or None, "seclog.permission_class": permission}
    user = scopes.evaluated_user(scope.request)
    if user is not None and user.is_authenticated:
        scope.propose(denials.denied(scope, scope.request, "permission_denied", **fields))
    else:
        scope.propose(denials.unauthenticated(scope.request, "not_authenticated", **fields))


def is_denial(error: Any) -> bool:
    """Tell whether a GraphQL error refuses access: by what raised it, or by the code that clients are given."""
    cause = getattr(error, "original_error", None) or error
    if isinstance(cause, PermissionDenied | PermissionError) or getattr(cause, PERMISSION, None) is not None:
        return True
    if type(cause).__name__ in _DENIALS:
        return True
    extensions = getattr(error, "extensions", None) or {}
    return str(extensions.get("code", "")).upper() in _CODES


def _permission(error: Any) -> str | None:
    return getattr(getattr(error, "original_error", None) or error, PERMISSION, None)
