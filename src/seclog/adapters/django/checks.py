"""System checks: what `manage.py check` says about our settings. Ids are unique: seclog.E001 and so on."""


def register_all() -> None:
    """Register the checks."""
