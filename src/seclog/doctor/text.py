"""A report as text, at most 80 columns wide: what is blind stands out, and each blind spot ends with a line to add."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from seclog.doctor.data import standards
from seclog.doctor.report import AppReport, Family, Report, SensitiveRoute
from seclog.doctor.standards import Answer

WIDTH: Final = 80
MAX_VIEWS: Final = 40
MAX_PATHS: Final = 3
"""Views, and paths of one view, that are listed; the rest as a number. JSON has them all."""

_SIGN: Final = {"recorded": "+", "partly": "~", "by call": ".", "blind": "-", "no sign": " "}


def lines(report: Report) -> Iterator[str]:
    """Return the report, line by line."""
    for app in report.apps:
        yield from _app(app)
    yield summary(report)


def summary(report: Report) -> str:
    """Return the last line: how much is blind."""
    families = [family for app in report.apps for family in app.families]
    installed = any(app.installed for app in report.apps)
    recorded = sum(family.status == "recorded" for family in families)
    counts = [
        f"{recorded} of {len(families)} families{'' if installed else ' would be'} fully recorded",
        _number(len(report.blind), "blind spot"),
        _number(len(report.sensitive), "undecorated route"),
        _number(len(report.warnings), "warning"),
    ]
    return f"doctor: {', '.join(counts)}"


def _app(app: AppReport) -> Iterator[str]:
    where = f" below {app.mounted_at}" if app.mounted_at else ""
    yield f"{app.name}{where}: {app.framework} {app.version}, {_number(app.routes, 'route')}, {app.decorated} decorated"
    yield ""
    for warning in app.warnings:
        yield from _wrapped(warning.text, "  ! ")
        yield from _code(warning.line, 4)
    if app.warnings:
        yield ""
    for family in app.families:
        yield from _family(family, app.installed)
    if app.sensitive:
        yield f"  Routes that look sensitive and have no decorator ({len(app.sensitive)}):"
        yield from _routes(app.sensitive)
    yield ""


def _family(family: Family, installed: bool) -> Iterator[str]:
    status = f"would be {family.status}" if family.status == "recorded" and not installed else family.status
    yield f"  {_SIGN[family.status]} {family.number:>2} {family.name}: {status}"
    if family.status == "no sign":
        yield from _wrapped("nothing in this app points to it; if it is there after all:", "         ")
        yield from _code(f'seclog.emit(…)  # seclog catalogue --family "{family.name}" lists the types', 9)
    for covered in family.covered:
        yield from _wrapped(", ".join(covered.events), "       + ", "         ")
        yield from _wrapped(f"by {covered.by}", "         ")
    for spot in family.blind:
        yield from _wrapped(f"{spot.what}: {spot.why} [{spot.id}]", "       - ", "         ")
        yield from _code(spot.line, 9)
    for call in family.by_call:
        if call.called:
            yield from _wrapped(f"{call.what}: told by the app's code or settings", "       + ", "         ")
        else:
            yield from _wrapped(f"{call.what}: only the app knows", "       . ", "         ")
            yield from _code(call.line, 9)
    yield ""


def _routes(routes: tuple[SensitiveRoute, ...]) -> Iterator[str]:
    """Group by view: it is decorated once, whatever the number of its routes."""
    views: dict[tuple[str, str], list[SensitiveRoute]] = {}
    for route in routes:
        views.setdefault((route.line, route.view), []).append(route)
    for (line, view), found in list(views.items())[:MAX_VIEWS]:
        yield from _code(f"{line}  # {view}", 4)
        for route in found[:MAX_PATHS]:
            methods = f"{','.join(route.methods)} " if route.methods else ""
            yield from _wrapped(f"{methods}{route.path} ({', '.join(route.kinds)})", "      ", "        ")
        if len(found) > MAX_PATHS:
            yield f"      and {_number(len(found) - MAX_PATHS, 'path')} more"
    if len(views) > MAX_VIEWS:
        yield f"    and {_number(len(views) - MAX_VIEWS, 'view')} more: --format json has them all"


def standard_lines(name: str, table: Iterable[Answer]) -> Iterator[str]:
    """Return the table of a standard, line by line."""
    standard = standards()[name]
    yield from _wrapped(standard.title, "")
    yield from _wrapped(standard.source, "")
    yield ""
    counts: dict[str, int] = {}
    for answer in table:
        counts[answer.state] = counts.get(answer.state, 0) + 1
        level = f" {answer.level}" if answer.level else ""
        yield from _wrapped(f"{answer.id}{level}  {answer.state.upper()}", "")
        yield from _wrapped(answer.text, "    ")
        yield from _wrapped(f"{'instead' if answer.state == 'not ours' else 'by'}: {answer.by}", "    ", "      ")
        for spot in answer.blind:
            yield from _wrapped(f"blind here: {spot}", "    ", "      ")
    yield ""
    yield f"{name}: {', '.join(f'{count} {state}' for state, count in counts.items())}"


def _wrapped(text: str, first: str, rest: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _code(text: str, indent: int) -> Iterator[str]:
    """Return a line to add as it is: nobody can paste one that was wrapped."""
    for line in text.splitlines():
        yield f"{' ' * indent}> {line}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
