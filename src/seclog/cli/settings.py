"""`seclog settings`: what is in force, and where each value comes from."""

import click

from seclog.cli.session import Session


@click.command(epilog="\b\nExample:\n  SECLOG_CONFIG=seclog.toml seclog settings")
@click.pass_obj
def settings(session: Session) -> None:
    """Show what is in force, and where it comes from.

    Secrets are not shown.
    """
    session.output.table(("setting", "value", "source"), session.settings.shown())
