"""`seclog doctor`: what this app will record by itself, what it is blind to, and the line that helps."""

from typing import TYPE_CHECKING, Any

import click
import msgspec

from seclog.cli import NEGATIVE, OK
from seclog.cli.session import Session

if TYPE_CHECKING:  # loaded when the command runs: the tables need YAML, and the other commands do not
    from seclog.doctor import Report

FAILS = ("blind", "undecorated", "warning")


@click.command(epilog="\b\nExample:\n  seclog doctor --app shop.web:app --fail-on blind")
@click.option("--app", "target", metavar="MODULE:APP", help="The app, as a server names it, or module:factory().")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="json: one object."
)
@click.option(
    "--standard", type=click.Choice(["asvs", "owasp-a09", "pci"]), help="Requirement by requirement: what covers it."
)
@click.option(
    "--fail-on", "fails", multiple=True, type=click.Choice(FAILS), help="Exit with 1 if there is any; several allowed."
)
@click.option("--accept", "accepted", metavar="ID", multiple=True, help="The id of what is known; several allowed.")
@click.pass_obj
def doctor(
    session: Session,
    target: str | None,
    form: str,
    standard: str | None,
    fails: tuple[str, ...],
    accepted: tuple[str, ...],
) -> int:
    """Examine an app: what is recorded by itself, what is not, and what to add.

    The app is imported, as a server would; no request is made.
    """
    from seclog.cli.target import look_at
    from seclog.doctor import examine
    from seclog.doctor.standards import answers
    from seclog.doctor.text import lines, standard_lines

    report = examine(*look_at(target, session.framework, session.app))
    if form == "json":
        session.output.stored(msgspec.json.encode(_document(report, standard)))
    else:
        for line in lines(report) if standard is None else standard_lines(standard, answers(standard, report)):
            session.output.line(line)
    return NEGATIVE if any(_found(report, kind, accepted) for kind in fails) else OK


def _document(report: "Report", standard: str | None) -> Any:
    from seclog.doctor.data import standards
    from seclog.doctor.standards import answers

    document = msgspec.to_builtins(report)
    if standard is not None:
        found = standards()[standard]
        table = msgspec.to_builtins(answers(standard, report))
        document["standard"] = {"name": standard, "title": found.title, "source": found.source, "requirements": table}
    return document


def _found(report: "Report", kind: str, accepted: tuple[str, ...]) -> bool:
    """Tell whether there is anything of that kind. An app without seclog is blind to everything."""
    if kind == "undecorated":
        return bool(report.sensitive)
    if kind == "warning":
        return any(warning.id not in accepted for warning in report.warnings)
    return any(spot.id not in accepted for spot in report.blind) or any(
        not app.installed and not app.mounted_at and "not-installed" not in accepted for app in report.apps
    )
