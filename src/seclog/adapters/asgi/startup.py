"""Start and end of a process: settings, `sys_startup` and `sys_shutdown`, by the lifespan protocol where a server
speaks it, else with the first request.
"""

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from seclog import api
from seclog.adapters._hooks import complain, contained
from seclog.assembly import Installation
from seclog.errors import ConfigurationError, NotRecordedError
from seclog.events import Event, EventType
from seclog.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

internal_log = logging.getLogger("seclog.internal")
_ENDED: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


def set_up(settings: Settings | Mapping[str, object] | None) -> None:
    """Install seclog in this process, if nobody has. Without settings of its own an app joins what is there.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    there = api.installed()
    if there is not None and settings is None:
        return
    try:
        if not isinstance(settings, Settings):
            settings = Settings.load(settings, defaults={"directory": Path.cwd() / ".seclog"})
        if there is None:
            api.install(Installation(settings))
        elif there.settings.directory is not None and settings.directory != there.settings.directory:
            internal_log.warning(
                "seclog: this process records to %s already; the settings of %s are not used",
                there.settings.directory, settings.service,
            )  # fmt: skip
    except ConfigurationError:
        raise
    except Exception:  # noqa: BLE001 - logged; the app starts without us
        internal_log.exception("seclog is OFF: it could not start, the app is not affected")


forks = 0
"""How often this process is a copy of another one; asking for the process id costs more, in every request."""


def _forked() -> None:
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_started: tuple[int, Installation | None] | None = None
"""The process and the installation whose start was told: two apps in one process start once."""


def tell_startup() -> None:
    """Record that this process serves, once."""
    global _started
    this = (os.getpid(), api.installed())
    if this == _started:
        return
    _started = this
    try:
        with contained("starting"):
            fields = {"host.name": socket.gethostname(), "process.pid": this[0], "seclog.framework": "asgi"}
            api.record(Event(type=EventType.SYS_STARTUP, fields=fields))
    except NotRecordedError as failure:  # `block` refuses requests, it does not keep the app from starting
        complain("starting", failure)


def _tell_shutdown() -> None:
    """Record the end now: servers end a worker by a signal, and nothing runs at exit then."""
    global _started
    installation = api.installed()
    if installation is None:
        return
    _started = None
    try:
        with contained("stopping"):
            if installation.journal is not None:
                installation.shut_down("lifespan")
            else:
                api.record(Event(type=EventType.SYS_SHUTDOWN, reason="lifespan"))
    except NotRecordedError as failure:
        complain("stopping", failure)


async def live(app: App, scope: Any, receive: Receive, send: Send) -> None:
    """Pass the lifespan protocol on, and tell of the end before the server hears of it."""

    async def watched(message: Message) -> None:
        if message["type"] in _ENDED:
            _tell_shutdown()
        await send(message)

    await app(scope, receive, watched)
