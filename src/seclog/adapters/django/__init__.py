"""The Django door. Two lines: the app in INSTALLED_APPS, the middleware first in MIDDLEWARE.

INSTALLED_APPS += ["seclog.adapters.django"]
MIDDLEWARE = ["seclog.adapters.django.SecurityEventMiddleware", *MIDDLEWARE]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seclog.adapters.django.middleware import SecurityEventMiddleware

__all__ = ["SecurityEventMiddleware"]


def __getattr__(name: str) -> Any:
    """Load the middleware when Django asks for it: importing this package must not need configured settings."""
    if name == "SecurityEventMiddleware":
        from seclog.adapters.django.middleware import SecurityEventMiddleware

        return SecurityEventMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
