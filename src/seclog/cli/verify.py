"""`seclog verify`: whether the record is as it was written, and where it is not."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from seclog.cli import CANNOT_TELL, NEGATIVE, OK
from seclog.cli.output import Output
from seclog.cli.session import Session
from seclog.errors import NotAJournalError
from seclog.journal.check import FileReport, JournalReport, check_journal
from seclog.journal.reader import is_live

EXIT_CODES: Final = {"OK": OK, "BROKEN": NEGATIVE, "TRUNCATED": CANNOT_TELL, "UNREADABLE": CANNOT_TELL}
PROOF: Final = "chain only, no seal yet"
"""What a verdict rests on: a chain does not show that a segment's end was cut off."""

VERDICT_STYLES: Final = {
    "OK": "bold green",
    "BROKEN": "bold red",
    "TRUNCATED": "bold yellow",
    "UNREADABLE": "bold yellow",
}
Unreadable = list[tuple[Path, str]]


@click.command(epilog="\b\nExample:\n  seclog verify /var/lib/shop/.seclog --json")
@click.argument("path", metavar="[DIR|FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The whole report as one JSON object.")
@click.pass_obj
def verify(session: Session, path: Path | None, as_json: bool) -> int:
    """Verify that no entry was changed or removed.

    DIR is a directory with a journal or a host's folder, FILE one segment.
    Exits 0 if all is well, 1 if the record is broken, 2 if that cannot be judged.
    """
    place = session.place(path)
    unreadable: Unreadable = []

    def keep(file: Path, error: NotAJournalError) -> None:
        if place.is_file() or not _is_being_born(file):
            unreadable.append((file, str(error)))

    with session.output.progress("verify") as progress:
        report = check_journal(place, progress, keep)
    if unreadable and not report.files:
        raise NotAJournalError(unreadable[0][1])
    verdict = _verdict(report, unreadable)
    if as_json:
        session.output.stored(json.dumps(_as_data(report, unreadable, verdict)).encode())
    elif verdict == "TRUNCATED" and place.is_file():
        session.output.line(_closing(verdict, f"{place}: {_torn(report.files[0])}"))
    else:
        _tell(report, unreadable, session.output)
        session.output.line(_closing(verdict, _sums(report, unreadable)))
    return EXIT_CODES[verdict]


def _is_being_born(path: Path) -> bool:
    """Tell whether a process has just made this segment and is about to write its first entry."""
    try:
        with path.open("rb") as file:
            return is_live(file.fileno()) and os.fstat(file.fileno()).st_size == 0
    except OSError:
        return False


def _verdict(report: JournalReport, unreadable: Unreadable) -> str:
    """Return the verdict. A proven break weighs more than what cannot be judged."""
    if unreadable and report.verdict != "BROKEN":
        return "UNREADABLE"
    return report.verdict


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────


def _tell(report: JournalReport, unreadable: Unreadable, output: Output) -> None:
    for file in report.files:
        problem = file.segment.problem
        if problem is not None:
            place = f"{file.path} line {problem.line}: {problem.what}"
            output.line(_finding("BROKEN", f"{place}; expected {problem.expected}, found {problem.found}"))
        elif file.verdict == "TRUNCATED":
            output.line(_finding("TRUNCATED", f"{file.path}: {_torn(file)}"))
        for note in _notes(file):
            output.line([("note", "dim"), (f" {file.path}: {note}", "")])
    for missing, follower in _missing(report):
        what = f"this segment is missing, or no segment any more; expected because {follower} follows it"
        output.line(_finding("BROKEN", f"{missing}: {what}"))
    for _, message in unreadable:
        output.line(_finding("UNREADABLE", message))


def _finding(verdict: str, text: str) -> list[tuple[str, str]]:
    return [(verdict, VERDICT_STYLES[verdict]), (f" {text}", "")]


def _torn(file: FileReport) -> str:
    torn = _counted(file.segment.torn, "byte")
    return f"ends within entry {file.segment.entries + 1} ({torn} of it), and its writer is gone"


def _notes(file: FileReport) -> Iterator[str]:
    yield from file.segment.notes
    if file.segment.state == "died" and file.verdict == "OK":
        yield "ends without a stop record: its process died, or its end was cut off"


def _missing(report: JournalReport) -> Iterator[tuple[str, str]]:
    for missing in report.missing:
        followers = [f.segment.id for f in report.files if f.segment.first.get("seclog.segment.previous.id") == missing]
        yield missing, ", ".join(followers)


def _closing(verdict: str, text: str) -> list[tuple[str, str]]:
    return [("verify: ", ""), (verdict, VERDICT_STYLES[verdict]), (f" — {text}; {PROOF}", "")]


def _sums(report: JournalReport, unreadable: Unreadable) -> str:
    verdicts = Counter(file.verdict for file in report.files)
    segments = _counted(len(report.files) + len(unreadable), "segment")
    faults = {
        "broken": verdicts["BROKEN"],
        "missing": len(report.missing),
        "truncated": verdicts["TRUNCATED"],
        "unreadable": len(unreadable),
    }
    sums = [segments, _counted(report.entries, "entry", "entries"), _size(report.size)]
    return ", ".join(sums + [f"{count} {what}" for what, count in faults.items() if count])


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


# ── for machines ────────────────────────────────────────────────────────────────────────────────────────────


def _as_data(report: JournalReport, unreadable: Unreadable, verdict: str) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "entries": report.entries,
        "bytes": report.size,
        "sealed": False,
        "segments": [_segment_as_data(file) for file in report.files],
        "missing": list(report.missing),
        "unreadable": [{"path": str(path), "error": message} for path, message in unreadable],
    }


def _segment_as_data(file: FileReport) -> dict[str, Any]:
    segment, problem = file.segment, file.segment.problem
    return {
        "path": str(file.path),
        "id": segment.id,
        "verdict": file.verdict,
        "state": segment.state,
        "entries": segment.entries,
        "bytes": segment.size,
        "head": segment.head,
        "torn_bytes": segment.torn,
        "problem": None
        if problem is None
        else {
            "line": problem.line,
            "what": problem.what,
            "expected": problem.expected,
            "found": problem.found,
        },
        "notes": list(_notes(file)),
    }
