"""`seclog show`: one entry in full, what the catalogue knows about it, and whether its chain is whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from seclog.cli import NEGATIVE, OK, readable
from seclog.cli.segments import Found, Segments, merged
from seclog.cli.session import Session
from seclog.errors import NotAJournalError
from seclog.events.catalogue import FAMILIES, definition
from seclog.journal.verify import verify_segment

SHORTEST: Final = 8
"""Characters of an id at least; fewer would match by chance."""
SHOWN: Final = 10
"""Candidates shown when several entries have such an id."""


@click.command(epilog="\b\nExample:\n  seclog show 0193a5c2-1b2c-7001")
@click.argument("event_id", metavar="ID")
@click.argument("path", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def show(session: Session, event_id: str, path: Path | None) -> int:
    """Show one entry in full.

    ID is the entry's id, or its beginning (8 characters at least) if no other entry's id begins so. DIR is a
    directory with a journal, a host's folder or one segment.
    """
    if len(event_id) < SHORTEST:
        raise click.UsageError(
            f"ID must have {SHORTEST} characters at least: it may be the beginning of an id, not less"
        )
    output = session.output
    place = session.place(path)
    found = _find(event_id, Segments(place, output.complain).now())
    if not found:
        output.complain(f"no entry under {place} has an id that begins with {event_id!r}")
        return NEGATIVE
    if len({entry["event.id"] for _, entry in found}) > 1:
        output.complain(f"{len(found):,} entries have an id that begins with {event_id!r}: give more of it")
        for _, entry in found[:SHOWN]:
            output.line([*readable.parts(entry)[:-1], (str(entry["event.id"]), "bold")])
        return NEGATIVE
    for where, entry in found:
        output.pairs([*_fields(entry), ("", ""), *_facts(entry), ("", ""), *_evidence(where)])
    return OK


def _find(event_id: str, segments: list[Path]) -> list[tuple[Found, dict[str, Any]]]:
    """Return the entries with this id; if there is none, those whose id begins so."""
    token = json.dumps(event_id)[1:-1].encode()  # as it stands in a line: most lines need not be parsed
    found = []
    for line in merged(dict.fromkeys(segments, 0)):
        if token not in line.line.raw:
            continue
        try:
            entry = line.line.entry()
        except NotAJournalError:
            continue
        if str(entry.get("event.id")).startswith(event_id):
            found.append((line, entry))
    exact = [item for item in found if item[1]["event.id"] == event_id]
    return exact or found


def _fields(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in entry.items()
    ]


def _facts(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    known = definition(str(entry.get("event.name")))
    if known is None:
        return [("family", "the catalogue does not have this type")]
    facts = [("family", f"{known.family} {FAMILIES[known.family]}" if known.family != "other" else "other")]
    for name, ids in (("MITRE ATT&CK", known.mitre), ("OWASP ASVS", known.asvs), ("PCI DSS", known.pci)):
        facts.append((name, ", ".join(ids) or "-"))
    return facts


def _evidence(where: Found) -> list[tuple[str, str]]:
    """Say where the entry stands, and whether the chain from the segment's start to this line is whole."""
    data = where.path.read_bytes()[: where.line.end]
    number = data.count(b"\n")
    report = verify_segment(where.path.stem, data, live=True)
    if report.problem is None:
        chain = f"whole from the segment's start to this line ({number} of {number} verify)"
    else:
        chain = f"BROKEN at line {report.problem.line}: {report.problem.what}"
    return [("file", str(where.path)), ("line", str(number)), ("chain", chain)]
