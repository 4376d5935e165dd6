"""Family 10: commands at work. All that a command does is told under `command:<name>`, and so is the command
itself if it changed users, roles or passwords. Framework-free.

A command's arguments are never written, they may be secrets; the names of its options are.
"""

from collections.abc import Callable
from typing import Final

from seclog.adapters._hooks import tell
from seclog.context import JobScope, Scope
from seclog.events import Event, EventType
from seclog.events.catalogue import definition

_TELLING_FAMILIES: Final = frozenset({2, 4})


class CommandScope(JobScope):
    """A command at work. Outside a request the user is the account that the process runs under."""

    __slots__ = ()

    def __init__(self, name: str, parent: Scope | None) -> None:
        super().__init__(f"command:{name}", parent)
        if parent is None:
            self.context.user_name = _os_user()


def tell_command(scope: Scope, name: str, options: Callable[[], list[str]], error: BaseException | None) -> None:
    """Record a command, if it changed users, roles or passwords.

    Args:
        scope: the command's.
        name: what it is called.
        options: returns the names of the options that were given; asked only for a command that tells.
        error: what it ended with, if anything.
    """
    known = (definition(kind) for kind in scope.recorded or ())
    if not any(entry is not None and entry.family in _TELLING_FAMILIES for entry in known):
        return
    fields: dict[str, object] = {"seclog.command": name, "seclog.command.options": options()}
    if error is not None:
        fields["error.type"] = type(error).__name__
    outcome = "success" if error is None else "failure"
    tell(Event(type=EventType.ADMIN_COMMAND_RUN, outcome=outcome, fields=fields))


def _os_user() -> str | None:
    """Return the account of the process. Not from LOGNAME or USER, which anybody can set."""
    try:
        import os
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return None
