"""The list of the hooks: one module a concern, each with `connect()`. The order does not matter; each is idempotent."""

from seclog.adapters._hooks import contained


def connect_all() -> None:
    """Connect every hook. One that fails is reported and leaves the others working."""
    from seclog.adapters.django import login

    modules = [login]
    for module in modules:
        with contained(f"connecting {module.__name__}"):
            module.connect()
