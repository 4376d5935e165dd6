"""The app: connects the hooks once Django's models are loaded."""

import logging

from django.apps import AppConfig

from seclog.errors import ConfigurationError

internal_log = logging.getLogger("seclog.internal")


class SeclogConfig(AppConfig):
    """Installs seclog when Django starts. A wrong setting is reported by `manage.py check`; the app still runs."""

    name = "seclog.adapters.django"
    label = "seclog"
    verbose_name = "seclog"

    def ready(self) -> None:
        """Install, connect every hook, register the checks."""
        from seclog.adapters.django import checks, conf, hooks

        checks.register_all()
        try:
            conf.install()
        except ConfigurationError as error:
            internal_log.error("seclog is OFF: %s", error)
            return
        except Exception:  # noqa: BLE001 - logged; the app starts without us
            internal_log.exception("seclog is OFF: it could not start, the app is not affected")
            return
        hooks.connect_all()
