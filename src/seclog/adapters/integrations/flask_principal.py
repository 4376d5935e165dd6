"""Flask-Principal: a permission that is missing.

`require()` without a code raises `PermissionDenied`, which nobody handles: the answer is 500, and the fact is a
refused access. Tested with Flask-Principal 0.4.0.
"""

from typing import Any

from flask import Flask

from seclog.adapters._hooks import contained
from seclog.adapters.flask import request as requests
from seclog.adapters.integrations import _accounts as accounts
from seclog.adapters.integrations._library import Library
from seclog.events import Event, EventType

library = Library("Flask-Principal")


def connect(app: Flask) -> None:
    """Wrap the check of a permission."""
    library.wrap("flask_principal.IdentityContext.__enter__", _check)


def _check(original: Any, check: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(check, *args, **kwargs)
    except Exception:
        with contained("a missing permission"):
            scope = requests.of()
            needed = _needs(check)
            fields: dict[str, object] = {"seclog.permission": needed, "seclog.view": scope and scope.view}
            if scope is not None:
                scope.denied_permission = needed
            if accounts.acting_user() is not None:
                denied = Event(type=EventType.AUTHZ_FAIL, reason="permission_denied", fields=accounts.present(fields))
            else:
                denied = Event(
                    type=EventType.AUTHZ_UNAUTHENTICATED, reason="permission_denied", fields=accounts.present(fields)
                )
            accounts.propose(denied)
        raise


def _needs(check: Any) -> str:
    """Return what would have been needed, such as "role:admin"."""
    needs = [":".join(str(part) for part in need) for need in getattr(check.permission, "needs", ())]
    return ", ".join(sorted(needs))[:256]
