"""The list of the hooks: one module a concern, each with `connect()`. Their order does not matter."""

from importlib import import_module
from importlib.util import find_spec
from typing import Final

from seclog.adapters._hooks import contained

MODULES: Final = (
    "admin",
    "commands",
    "configuration",
    "denials",
    "errors",
    "groups",
    "login",
    "passwords",
    "sessions",
    "users",
)
"""Our modules for Django itself."""

INTEGRATIONS: Final = {
    "rest_framework": ("rest_framework", "rest_framework_tokens"),
    "allauth": ("allauth", "allauth_headless"),
    "axes": ("axes",),
    "channels": ("channels",),
    "constance": ("constance",),
    "dj_rest_auth": ("dj_rest_auth",),
    "django_otp": ("django_otp",),
    "graphene_django": ("graphene",),
    "guardian": ("guardian",),
    "hijack": ("hijack",),
    "import_export": ("import_export",),
    "ninja": ("ninja",),
    "oauth2_provider": ("oauth_toolkit",),
    "rest_framework_simplejwt": ("simplejwt",),
    "strawberry": ("strawberry",),
    "waffle": ("waffle",),
    "wagtail": ("wagtail",),
}
"""Third-party library -> our modules for it; loaded only where the library is installed."""


def connect_all() -> None:
    """Connect every hook, once or again. One that fails is reported and leaves the others working."""
    for name in MODULES:
        _connect(f"seclog.adapters.django.{name}")
    for library, names in INTEGRATIONS.items():
        if find_spec(library) is not None:
            for name in names:
                _connect(f"seclog.adapters.integrations.{name}")


def _connect(module: str) -> None:
    with contained(f"connecting {module}"):
        import_module(module).connect()
