"""`seclog catalogue`: the event types there are, and what the standards call them."""

import difflib
from typing import Any

import click
import msgspec

from seclog.cli import NEGATIVE, OK
from seclog.cli.events import family
from seclog.cli.session import Session
from seclog.events.catalogue import FAMILIES, Definition, Family
from seclog.events.catalogue import catalogue as all_types

HEADERS = ("type", "family", "severity", "recorded", "ATT&CK")
RECORDED = {"auto": "by itself", "call": "by a call", "derived": "by the watch"}


@click.command(epilog="\b\nExample:\n  seclog catalogue --family login --format markdown")
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--family",
    "families",
    multiple=True,
    type=family,
    help="Family, by number or name; several allowed.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "markdown"]),
    default="table",
    show_default=True,
    help="json: one type a line.",
)
@click.pass_obj
def catalogue(session: Session, name: str | None, families: tuple[Family, ...], form: str) -> int:
    """List all event types, or describe one."""
    output = session.output
    types = [known for known in all_types().values() if name in (None, known.name)]
    if not types:
        close = difflib.get_close_matches(str(name), list(all_types()), n=1)
        output.complain(f"the catalogue has no type {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return NEGATIVE
    types = [known for known in types if not families or known.family in families]
    if form == "json":
        for known in types:
            output.stored(msgspec.json.encode(known))
    elif form == "markdown":
        for row in (HEADERS, ["---"] * len(HEADERS), *(_row(known) for known in types)):
            output.line(f"| {' | '.join(row)} |")
    elif name is not None:
        for known in types:
            output.pairs(_facts(known))
    else:
        output.table(HEADERS, [_row(known) for known in types])
    return OK


def _row(known: Definition) -> tuple[str, ...]:
    return (known.name, _family(known), known.level, RECORDED[known.emitted], ", ".join(known.mitre))


def _family(known: Definition) -> str:
    return "other" if known.family == "other" else f"{known.family} {FAMILIES[known.family]}"


def _facts(known: Definition) -> list[tuple[str, str]]:
    facts: dict[str, Any] = {
        "type": known.name,
        "family": _family(known),
        "severity": known.level,
        "outcome": known.outcome,
        "recorded": RECORDED[known.emitted],
        "tier": known.tier,
        "fields": known.required,
        "OWASP vocabulary": known.owasp_vocabulary,
        "OCSF": f"{known.ocsf.class_uid} {known.ocsf.class_name}: {known.ocsf.activity_name}",
        "ECS": f"{'/'.join(known.ecs.category)}: {'/'.join(known.ecs.type)}",
        "OpenTelemetry": known.otel.event_name,
        "MITRE ATT&CK": known.mitre,
        "OWASP AppSensor": known.appsensor,
        "OWASP ASVS": known.asvs,
        "PCI DSS": known.pci,
        "Splunk CIM": known.splunk_cim,
        "note": known.note,
    }
    return [
        (name, ", ".join(value) if isinstance(value, tuple) else str(value)) for name, value in facts.items() if value
    ]
