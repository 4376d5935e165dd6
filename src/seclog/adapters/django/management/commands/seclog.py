"""`manage.py seclog …`: the command line of seclog, with the settings of this project."""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from seclog.adapters.django import conf
from seclog.cli import CANNOT_TELL, run
from seclog.errors import ConfigurationError


class Command(BaseCommand):
    """Hands its arguments on to seclog's own command line, which knows more kinds of them than Django's."""

    help = "Read the security record of this project: seclog tail, events, show, verify, settings, catalogue, doctor."
    requires_system_checks = ()  # reading the record must work when something is wrong

    def run_from_argv(self, argv: list[str]) -> None:
        """Run `manage.py seclog …` and exit with its code."""
        sys.exit(_run(argv[2:], f"{argv[0]} {argv[1]}"))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take everything as it is (only `call_command` comes here)."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run `call_command("seclog", …)`."""
        code = _run(options["arguments"], "manage.py seclog")
        if code:
            raise CommandError(f"seclog ended with {code}", returncode=code)


def _run(arguments: list[str], program: str) -> int:
    try:
        settings = conf.load()
    except ConfigurationError as error:
        sys.stderr.write(f"seclog: {error}\n")
        return CANNOT_TELL
    return run(arguments, settings=settings, prog=program, framework="django")
