"""Family 6: which scopes `requires(…)` missed, remembered while the request runs, for the refusal that may follow.

FastAPI's `SecurityScopes` are on the route: see `routes.refused`.
"""

import sys
from importlib.metadata import version
from typing import Any

from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters.asgi import request as scopes


def connect() -> None:
    """Wrap the check that `requires` looks up at call time, where the app has loaded it."""
    module = sys.modules.get("starlette.authentication")
    if module is not None:
        wrap_method(module, "has_required_scope", _checked, library=f"Starlette {version('starlette')}")


def _checked(original: Any, connection: Any, asked: Any, *args: Any, **kwargs: Any) -> Any:
    is_granted = original(connection, asked, *args, **kwargs)
    if not is_granted:
        with contained("remembering missing scopes"):
            scope = scopes.of()
            if scope is not None:
                held = connection.auth.scopes
                scope.denied_permission = " ".join(name for name in asked if name not in held)
    return is_granted
