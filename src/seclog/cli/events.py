"""`seclog events`: the entries that were asked for, as a table for people or as they are stored."""

import difflib
import ipaddress
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, get_args

import click

from seclog.cli import readable
from seclog.cli.segments import Found, Segments, merged
from seclog.cli.session import Session
from seclog.cli.tail import NOT_AN_ENTRY
from seclog.errors import NotAJournalError
from seclog.events.catalogue import FAMILIES, Family, Outcome, Severity, catalogue, definition

Entry = Mapping[str, Any]
Test = Callable[[Entry], bool]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SEVERITIES: Final = get_args(Severity)
OUTCOMES: Final = get_args(Outcome)
_SPAN: Final = re.compile(r"(\d{1,9})\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(value: str) -> str:
    """Return a moment as the text of a timestamp, which sorts by time.

    Args:
        value: an ISO date or time (UTC unless it says otherwise), or a span back from now, such as 15m.
    """
    text = value.strip()
    span = _SPAN.fullmatch(text)
    try:
        if span:
            when = datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            when = datetime.fromisoformat(text)
        when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is neither an ISO date or time nor a span such as 15m, 2h, 7d") from None
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def family(value: str) -> Family:
    """Return a family's number, or "other", for its number, its name or how its name begins."""
    wanted = value.strip().lower()
    for fits in (lambda number, name: wanted in (str(number), name), lambda _, name: name.startswith(wanted)):
        named = [number for number, name in FAMILIES.items() if wanted and fits(number, name)]
        if len(named) == 1:
            return named[0]
    known = ", ".join(name if number == name else f"{number} {name}" for number, name in FAMILIES.items())
    raise click.BadParameter(f"{value!r} is no family; there are: {known}")


def address(value: str) -> Network:
    """Return a network for CIDR notation or a single address."""
    try:
        return ipaddress.ip_network(value.strip(), strict=False)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither an address nor a network such as 198.51.100.0/24") from None


@click.command(epilog="\b\nExample:\n  seclog events --type 'authn_login_*' --address 198.51.100.0/24 --since 2h")
@click.argument("path", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Event type, * allowed; may be given several times.",
)
@click.option(
    "--family",
    "families",
    multiple=True,
    type=family,
    help="Family, by number or name; several allowed.",
)
@click.option("--user", metavar="USER", help="Acting user, by id or name.")
@click.option("--address", "network", type=address, help="Client address, or a network in CIDR notation.")
@click.option("--since", type=moment, help="From this moment on: ISO (UTC), or 15m, 2h, 7d ago.")
@click.option("--until", type=moment, help="Before this moment.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Outcome.")
@click.option("--severity", type=click.Choice(SEVERITIES), help="Severity, at least.")
@click.option("--text", metavar="TEXT", help="A text within any value; capitals and small letters are the same.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json: one stored entry a line, byte for byte.",
)
@click.option("--limit", type=click.IntRange(min=1), help="The newest entries only, this many.")
@click.pass_obj
def events(
    session: Session,
    path: Path | None,
    types: tuple[str, ...],
    families: tuple[Family, ...],
    user: str | None,
    network: Network | None,
    since: str | None,
    until: str | None,
    outcome: str | None,
    severity: str | None,
    text: str | None,
    form: str,
    limit: int | None,
) -> None:
    """Show the entries that pass all filters.

    All segments of all hosts, merged by time, the newest last.

    DIR is a directory with a journal, a host's folder or one segment.
    """
    output = session.output
    for name in types:
        _check_type(name, output.complain)
    tests = [
        test
        for wanted, test in (
            (types, lambda entry: any(fnmatchcase(str(entry.get("event.name")), name) for name in types)),
            (families, lambda entry: family_of(entry) in families),
            (user, lambda entry: user in (entry.get("user.id"), entry.get("user.name"))),
            (network, lambda entry: _is_within(entry.get("client.address"), network)),
            (outcome, lambda entry: entry.get("event.outcome") == outcome),
            (severity, lambda entry: _rank(entry.get("severity")) >= _rank(severity)),
            (text, lambda entry: any((text or "").casefold() in found.casefold() for found in _texts(entry))),
        )
        if wanted not in (None, ())  # an empty text is a filter too: it comes from an empty shell variable
    ]
    segments = Segments(session.place(path), output.complain).now()
    passing = _passing(merged(dict.fromkeys(segments, 0)), since, until, tests, output.complain)
    for raw, entry in deque(passing, maxlen=limit) if limit else passing:
        if form == "json":
            output.stored(raw)
        else:
            output.line(readable.parts(entry))


def family_of(entry: Entry) -> Family:
    """Return an entry's family; what the catalogue does not know belongs to the others."""
    known = definition(str(entry.get("event.name")))
    return known.family if known is not None else "other"


def _passing(
    lines: Iterable[Found],
    since: str | None,
    until: str | None,
    tests: list[Test],
    complain: Callable[[str], object],
) -> Iterator[tuple[bytes, Entry]]:
    for when, path, line in lines:
        if (since is not None and when < since) or (until is not None and when >= until):
            continue
        try:
            entry = line.entry()
        except NotAJournalError:
            complain(f"{path}: {NOT_AN_ENTRY}")
            continue
        if all(test(entry) for test in tests):
            yield line.raw, entry


def _check_type(name: str, complain: Callable[[str], object]) -> None:
    """Say so when nothing can match; it is still looked for: an app may record types of its own."""
    if not any(fnmatchcase(known, name) for known in catalogue()):
        close = difflib.get_close_matches(name, list(catalogue()), n=1)
        complain(f"the catalogue has no type {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def _is_within(address: object, network: Network | None) -> bool:
    try:
        parsed = ipaddress.ip_address(str(address))
    except ValueError:
        return False
    return network is not None and parsed in network


def _rank(severity: object) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)
