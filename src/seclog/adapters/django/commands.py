"""Family 10: management commands. All that a command does is told under `command:<name>`, and so is the
command if it changed users, roles or passwords. Its arguments are never written, they may be secrets; the
names of its options are.
"""

from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS

from seclog.adapters._commands import CommandScope, tell_command
from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters.django.model_changes import after_commit
from seclog.context import current, enter, leave

_OWN_WORLD: Final = frozenset({"runserver", "test", "testserver"})
"""Commands in which something else runs, that is not to be told as done by the command."""
_SILENT: Final = frozenset({"migrate"})
"""Commands that never tell of themselves."""
_PLUMBING: Final = frozenset({"stdout", "stderr", "stdin", "skip_checks", "force_color", "no_color"})


def connect() -> None:
    """Wrap the one way that every command takes, from the shell and by `call_command`."""
    wrap_method(BaseCommand, "execute", _execute, library="Django")


def _execute(original: Callable[..., Any], command: Any, *args: Any, **options: Any) -> Any:
    name = type(command).__module__.rpartition(".")[2]
    if name in _OWN_WORLD:
        return original(command, *args, **options)
    scope = CommandScope(name, current())
    token = enter(scope)
    error: BaseException | None = None
    try:
        return original(command, *args, **options)
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained("telling of a command"):
            if name not in _SILENT:
                # What the command did may wait for the commit of a transaction around it; then so does this.
                alias = options.get("database") or DEFAULT_DB_ALIAS
                after_commit(alias, lambda: tell_command(scope, name, lambda: _given(command, name, options), error))
        leave(token)


def _given(command: Any, name: str, options: dict[str, Any]) -> list[str]:
    """Return the names of the options that differ from their defaults."""
    parser = command.create_parser("manage.py", name)
    return sorted(
        option for option, value in options.items() if option not in _PLUMBING and value != parser.get_default(option)
    )
