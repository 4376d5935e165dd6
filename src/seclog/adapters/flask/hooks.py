"""Third-party libraries: one module of ours for each, in `seclog.adapters.integrations`, with `connect(app)`."""

import sys
from importlib import import_module
from typing import Final

from flask import Flask

from seclog.adapters._hooks import contained

INTEGRATIONS: Final[dict[str, tuple[str, ...]]] = {
    "authlib": ("authlib",),
    "flask_admin": ("flask_admin",),
    "flask_appbuilder": ("flask_appbuilder",),
    "flask_jwt_extended": ("flask_jwt_extended",),
    "flask_login": ("flask_login",),
    "flask_principal": ("flask_principal",),
    "flask_security": ("flask_security",),
    "flask_wtf": ("flask_wtf",),
}
"""Third-party library -> our modules for it; used only where the app has loaded the library.

`connect(app)` is called in `init_app`, and again before the first request, for libraries that are loaded or put on
the app later. It must be idempotent, and do nothing for an app that the library is not on.
"""


def connect_all(app: Flask) -> None:
    """Connect the integrations of the libraries that are there. One that fails leaves the others working."""
    for library, names in INTEGRATIONS.items():
        if library in sys.modules:
            for name in names:
                with contained(f"connecting {name}"):
                    import_module(f"seclog.adapters.integrations.{name}").connect(app)
