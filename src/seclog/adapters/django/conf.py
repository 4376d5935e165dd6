"""Settings: the `SECLOG` dict of the Django project, with what Django knows better as defaults."""

from pathlib import Path

from django.conf import settings as django_settings

from seclog.assembly import Installation
from seclog.settings import Settings


def load() -> Settings:
    """Read `settings.SECLOG`, the TOML file and the environment.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    module = getattr(django_settings, "SETTINGS_MODULE", None) or "app"
    base = getattr(django_settings, "BASE_DIR", None) or Path.cwd()
    defaults = {"directory": Path(base) / ".seclog", "service": module.partition(".")[0]}
    return Settings.load(getattr(django_settings, "SECLOG", {}), defaults=defaults, origin="SECLOG")


def install() -> Installation:
    """Build the installation of this process. Keyed hashes use a key kept beside the journal, not SECRET_KEY: that
    one is rotated, and a device or session must keep its hash.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    from seclog import api

    return api.install(Installation(load()))
