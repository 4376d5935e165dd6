"""Third-party libraries: one module of ours for each, in `seclog.adapters.integrations`, with `connect(app)`."""

import sys
from importlib import import_module
from typing import Any, Final

from seclog.adapters._hooks import contained
from seclog.adapters.asgi import permissions

INTEGRATIONS: Final[dict[str, tuple[str, ...]]] = {
    "authlib": ("authlib",),
    "fastapi_users": ("fastapi_users",),
    "sqladmin": ("sqladmin",),
}
"""Third-party library -> our modules for it; used only where the app has loaded the library.

`connect(app)` is called when seclog is installed, and again before the first request, for libraries that are loaded
later. It gets the app (any ASGI app), must be idempotent, and do nothing for an app that the library is not on.
"""


def connect_all(app: Any) -> None:
    """Connect Starlette's own checks and the integrations of the libraries that are there.

    One that fails leaves the others working.
    """
    with contained("connecting Starlette"):
        permissions.connect()
    for library, names in INTEGRATIONS.items():
        if library in sys.modules:
            for name in names:
                with contained(f"connecting {name}"):
                    import_module(f"seclog.adapters.integrations.{name}").connect(app)
