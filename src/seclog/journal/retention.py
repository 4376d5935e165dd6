"""Retention: whole segments are retired, never parts of one, and the journal says which, with count and head."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from seclog.errors import NotAJournalError
from seclog.events.event import Event
from seclog.events.types import EventType
from seclog.journal.check import FileReport, check_file


def retire(
    segments: Collection[Path],
    older_than_days: int,
    now: datetime,
    record: Callable[[Event], str | None],
) -> list[FileReport]:
    """Remove the closed segments whose last entry is older than the given age, and record each removal first.

    A segment that does not verify is evidence: it is kept, whatever its age.

    Args:
        segments: the segments there are.
        older_than_days: the age, in days, that a segment must have.
        now: the present, aware.
        record: writes the event; a segment stays when its removal cannot be recorded.

    Returns:
        The reports of the segments that are gone.
    """
    limit = now - timedelta(days=older_than_days)
    gone = []
    for path in segments:
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if modified >= limit:
            continue
        try:
            report = check_file(path)
        except NotAJournalError:
            continue
        if report.verdict != "OK" or report.segment.state != "stopped":
            continue
        event = Event(
            type=EventType.SENSITIVE_DELETE,
            message="A segment of the record was retired",
            reason="retention",
            fields={
                "user.id": "seclog",
                "seclog.target.type": "segment",
                "seclog.target.id": report.segment.id,
                "seclog.retired.id": report.segment.id,
                "seclog.retired.count": report.segment.entries,
                "seclog.retired.hash": report.segment.head,
            },
        )
        if record(event) is not None:
            path.unlink()
            gone.append(report)
    return gone
