"""Family 10: the app's own `flask …` commands; and `flask seclog …`, the command line of seclog.

A command is watched when it is looked up, so that those that are added later are too.
"""

import sys
from typing import Any, Final

import click
from click.core import ParameterSource
from flask import Flask, current_app
from flask.cli import with_appcontext

from seclog.adapters._commands import CommandScope, tell_command
from seclog.adapters._hooks import contained, wrap_method
from seclog.adapters.flask.configuration import load
from seclog.cli import CANNOT_TELL, run
from seclog.context import current, enter, leave
from seclog.errors import ConfigurationError

_OWN: Final = "seclog"


def connect(app: Flask) -> None:
    """Watch the app's commands, and add ours."""
    wrap_method(app.cli, "get_command", _looked_up, library="Flask")
    if _OWN not in app.cli.commands:
        app.cli.add_command(_seclog)


def _looked_up(original: Any, context: Any, name: Any, *args: Any, **kwargs: Any) -> Any:
    command = original(context, name, *args, **kwargs)
    with contained("a command"):
        if isinstance(command, click.Group):
            wrap_method(command, "get_command", _looked_up, library="click")
        elif isinstance(command, click.Command) and command is not _seclog:
            wrap_method(command, "invoke", _invoked, library="click")
    return command


def _invoked(original: Any, context: click.Context, *args: Any, **kwargs: Any) -> Any:
    name = _name(context)
    scope = CommandScope(name, current())
    token = enter(scope)
    error: BaseException | None = None
    try:
        return original(context, *args, **kwargs)
    except BaseException as raised:
        if not (isinstance(raised, click.exceptions.Exit) and raised.exit_code == 0):
            error = raised
        raise
    finally:
        with contained("telling of a command"):
            tell_command(scope, name, lambda: _given(context), error)
        leave(token)


def _name(context: click.Context) -> str:
    """Return the command's path behind the program's name: "users create"."""
    names: list[str] = []
    here: click.Context | None = context
    while here is not None and (here.parent is not None or here is context):
        names.insert(0, here.command.name or here.info_name or "")
        here = here.parent
    return " ".join(names)


def _given(context: click.Context) -> list[str]:
    """Return the names of the options and arguments that were given."""
    defaults = {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None}
    return sorted(name for name in context.params if context.get_parameter_source(name) not in defaults)


@click.command(
    _OWN,
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    help="Read the security record of this app: seclog tail, events, show, verify, settings, catalogue, doctor.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def _seclog(arguments: tuple[str, ...]) -> None:
    """Hand the arguments on to seclog's own command line, with the settings of this app; exit with its code."""
    try:
        settings = load(current_app)
    except ConfigurationError as error:
        sys.stderr.write(f"seclog: {error}\n")
        sys.exit(CANNOT_TELL)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    sys.exit(run(list(arguments), settings=settings, prog="flask seclog", framework="flask", app=app))
