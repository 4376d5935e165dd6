"""The command line: reads journals and says what is in them. It never writes one.

In: arguments, and the settings' directory unless another is named. Out: text for people, JSON for machines.
Trusts nothing of what it reads: whatever reaches a terminal is escaped first.

click is imported only when a command runs: without it, the rest of seclog works, and this says in one line
what is missing.
"""

import os
import sys
import traceback
from typing import Final, NoReturn

from seclog.cli.escape import escape
from seclog.errors import MissingExtraError, SeclogError
from seclog.settings import Settings

OK: Final = 0
NEGATIVE: Final = 1
"""The answer is no: the record is broken, or what was asked for is not there."""
CANNOT_TELL: Final = 2
"""There is no answer: not a journal, truncated, a wrong setting, a wrong option, a missing extra."""
FAULT: Final = 70
"""An error in seclog itself (EX_SOFTWARE in sysexits.h)."""
INTERRUPTED: Final = 128 + 2
PIPE_CLOSED: Final = 128 + 13
"""What a shell shows for a program that wrote on after `| head` had ended. Never 0: no verdict was heard."""


def main() -> None:
    """Run the script `seclog`."""
    try:
        code = run(sys.argv[1:])
    except Exception:  # noqa: BLE001 - Python would exit with 1, and 1 is a verdict
        traceback.print_exc()
        code = FAULT
    sys.exit(code)


def run(
    args: list[str],
    *,
    settings: Settings | None = None,
    prog: str = "seclog",
    framework: str | None = None,
    app: object = None,
) -> int:
    """Run one command and return its exit code. Never exits; errors with a name become one line.

    Args:
        args: the arguments behind the program's name.
        settings: what is in force in the calling project; None reads file and environment, if needed.
        prog: what the program is called in help and messages.
        framework: the framework of the calling project; `seclog doctor` then knows the app.
        app: the app that calls, if the framework does not know it by itself.
    """
    try:
        code = _run(args, settings, prog, framework, app)
        sys.stdout.flush()
    except MissingExtraError as error:
        return _complain(str(error))
    except SeclogError as error:
        return _complain(f"seclog: {error}")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except OSError as error:
        if error.filename is None:  # it is the output that failed: a full disk behind `> report.txt`
            _forget_stdout()
        return _complain(f"seclog: {error.filename or 'output'}: {error.strerror or error}")
    return code


def _run(args: list[str], settings: Settings | None, prog: str, framework: str | None, app: object) -> int:
    try:
        import click

        from seclog.cli.commands import seclog
        from seclog.cli.session import Session
    except ModuleNotFoundError as error:
        _raise_missing(error)

    try:
        # not click's own main(): it turns a closed pipe into 1, which is BROKEN here, and exits
        with seclog.make_context(prog, list(args), obj=Session(settings, framework, app)) as context:
            code = seclog.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        _raise_missing(error)
    return code if isinstance(code, int) else OK


def _raise_missing(error: ModuleNotFoundError) -> NoReturn:
    library = (error.name or "").partition(".")[0]
    if library in {"click", "rich"}:
        raise MissingExtraError(library, "cli") from None
    raise error


def _complain(message: str) -> int:
    print(escape(message), file=sys.stderr)  # Python's standard error takes any character, whatever its encoding
    return CANNOT_TELL


def _forget_stdout() -> None:
    """Give the interpreter something to flush into at its end; else it would complain, and exit with 120."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass
