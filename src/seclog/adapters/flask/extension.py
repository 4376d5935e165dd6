"""The extension: one object that puts the door, the hooks and the commands on an app."""

import logging
import os
import socket
from importlib.metadata import version
from typing import Final

from flask import Flask, got_request_exception

from seclog import api
from seclog.adapters._hooks import complain, contained, wrap_method
from seclog.adapters.flask import commands, errors, hooks, sessions
from seclog.adapters.flask.configuration import compare_config, load
from seclog.adapters.flask.door import Door
from seclog.adapters.flask.users import STATE
from seclog.assembly import Installation
from seclog.errors import ConfigurationError, NotRecordedError
from seclog.events import Event, EventType
from seclog.settings import Settings

internal_log = logging.getLogger("seclog.internal")
_LIBRARY: Final = f"Flask {version('flask')}"


class SecLog:
    """Records the security events of a Flask app.

    A process has one record. The first app's settings open it; further apps join it, and two apps in one process do
    not see each other's requests.

    Args:
        app: the app; None if `init_app` is called later.
        login_heuristic: whether to recognise logins that no library and no call of the app tells; see `login`.
        session_user_key: where the app keeps in the session who is logged in, if it is none of `users.USER_KEYS`.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self, app: Flask | None = None, *, login_heuristic: bool = True, session_user_key: str | None = None
    ) -> None:
        self.login_heuristic = login_heuristic
        self.session_user_key = session_user_key
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Install seclog in this process, if no other app has, and connect every hook. A second call does nothing.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        if STATE in app.extensions:
            return
        try:
            _install(app, load(app))
        except ConfigurationError:
            raise
        except Exception:  # noqa: BLE001 - logged; the app starts without us
            internal_log.exception("seclog is OFF: it could not start, the app is not affected")
            return
        app.extensions[STATE] = self
        app.wsgi_app = Door(app, app.wsgi_app, lambda: _begin(app))  # type: ignore[method-assign]
        with contained("connecting Flask"):
            wrap_method(app, "handle_user_exception", errors.user_exception, library=_LIBRARY)
            got_request_exception.connect(errors.unhandled_exception, app)
            commands.connect(app)
        hooks.connect_all(app)


def _install(app: Flask, settings: Settings) -> None:
    installation = api.installed()
    if installation is None:
        api.install(Installation(settings))
        return
    there = installation.settings
    if "SECLOG" in app.config and there.directory is not None and settings.directory != there.directory:
        internal_log.warning(
            "seclog: this process records to %s already; the settings of %s are not used",
            there.directory,
            app.name,
        )


# ── before the first request of a process ───────────────────────────────────────────────────────────────────
#
# Not in `init_app`: it runs for `flask routes` too, in the parent of the workers, and before other extensions have
# put their session interface and the rest of the configuration in place.

_started: tuple[int, Installation | None] | None = None
"""The process and the installation whose start was told: two apps in one process start once."""


def _begin(app: Flask) -> None:
    try:
        with contained("starting"):
            sessions.connect(app)
            hooks.connect_all(app)
            _tell_startup()
            compare_config(app, api.installed())
    except NotRecordedError as failure:  # `block` refuses requests, it does not keep the app from starting
        complain("starting", failure)


def _tell_startup() -> None:
    global _started
    this = (os.getpid(), api.installed())
    if this != _started:
        _started = this
        fields = {"host.name": socket.gethostname(), "process.pid": this[0], "seclog.framework": "flask"}
        api.record(Event(type=EventType.SYS_STARTUP, fields=fields))
