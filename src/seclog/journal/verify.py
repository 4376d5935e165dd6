"""Verification: bytes in, report out. Pure; reading files is the caller's business (`check.py`).

What a chain proves: no line was changed, removed, reordered or inserted after the next line was written. What it does
not prove: that the end of a segment was not cut off, or the whole segment rewritten, by somebody with write access;
that takes the seal and an anchor (DESIGN.md §4).
"""

from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from seclog.errors import NotAJournalError
from seclog.events.types import EventType
from seclog.journal.line import HASH_FIELD, SEQ_FIELD, TAIL_WIDTH, first_link
from seclog.journal.reader import parse

State = Literal["live", "stopped", "died"]

_SEQ: Final = SEQ_FIELD.decode()
_HASH: Final = HASH_FIELD.decode()
_MOMENT_AT: Final = len('{"schema":"seclog/1","timestamp":"')
_MOMENT_WIDTH: Final = _MOMENT_AT + len("2026-01-01T00:00:00")
CLOCK_TOLERANCE_SECONDS: Final = 1
"""Entries of several threads may overtake each other by microseconds; more than this is a clock that was set back."""


class Problem(msgspec.Struct, frozen=True):
    """One place where the record does not verify.

    Args:
        line: the line's number, from 1.
        what: what is wrong, in words.
        expected: what should stand there.
        found: what stands there.
    """

    line: int
    what: str
    expected: str
    found: str


class SegmentReport(msgspec.Struct, frozen=True):
    """What is known about one segment after verification.

    Args:
        id: the segment's id.
        state: "live" (its writer holds it), "stopped" (ends with its stop record), "died" (ends without one).
        entries: whole lines that verify, from the start.
        size: bytes looked at.
        head: the hash of the last verified line, hex.
        first: the first entry.
        last: the last whole entry.
        problem: the first place that does not verify, if any. After it, nothing is claimed.
        torn: bytes after the last whole line (a write that its process did not live to finish).
        notes: what a reader should know, though it verifies.
    """

    id: str
    state: State
    entries: int
    size: int
    head: str
    first: dict[str, Any]
    last: dict[str, Any]
    problem: Problem | None
    torn: int
    notes: tuple[str, ...] = ()


def verify_segment(segment_id: str, data: bytes, *, live: bool = False) -> SegmentReport:
    """Verify a segment.

    Args:
        segment_id: the id it is filed under; the chain begins with it, so a renamed or swapped file does not verify.
        data: the file's bytes.
        live: whether its writer is alive; then an unfinished last line is being written, not torn.

    Returns:
        The report. It names the first broken line with expected and found value.
    """
    view = memoryview(data)
    previous = first_link(segment_id)
    problem: Problem | None = None
    notes: list[str] = []
    count = position = last_position = 0
    moment = b"\n"  # no line begins with it
    find, starts_with = data.find, data.startswith
    while (end := find(b"\n", position)) >= 0:
        chain = sha256(b"\x00" + previous)
        chain.update(view[position : end - TAIL_WIDTH])
        digest = chain.digest()
        count += 1
        tail = f'{_SEQ}{count}{_HASH}{digest.hex()}"}}'.encode()
        # The tail holds no newline, so it cannot be matched by a line that is shorter than it.
        if not starts_with(tail, end - len(tail)) or end < TAIL_WIDTH:
            problem = _diagnose(data[position:end], count, digest)
            count -= 1
            break
        previous = digest
        if not starts_with(moment, position):  # another second than the line before: rare where it is fast
            notes += _clock_note(count, moment, data[position : position + _MOMENT_WIDTH])
            moment = data[position : position + _MOMENT_WIDTH]
        last_position, position = position, end + 1
    first = _entry(data[: max(data.find(b"\n"), 0)])
    last = _entry(data[last_position : position - 1]) if count else {}
    if problem is None:
        problem = _check_ends(segment_id, first, last, count)
    stopped = last.get("event.name") == EventType.AUDIT_LOG_STOPPED
    return SegmentReport(
        id=segment_id,
        state="live" if live else "stopped" if stopped else "died",
        entries=count,
        size=len(data),
        head=previous.hex(),
        first=first,
        last=last,
        problem=problem,
        torn=0 if live or problem is not None else len(data) - position,
        notes=tuple(notes[:20]),
    )


def _diagnose(line: bytes, seq: int, digest: bytes) -> Problem:
    """Say what is wrong with a line that does not end as it must."""
    field, value = line[-TAIL_WIDTH:][: len(HASH_FIELD)], line[-TAIL_WIDTH:][len(HASH_FIELD) : -2]
    if field != HASH_FIELD or not line.endswith(b'"}'):
        return Problem(seq, "the line does not end with its hash", HASH_FIELD.decode(), _shown(line[-TAIL_WIDTH:]))
    if value != digest.hex().encode():
        return Problem(
            seq,
            "the hash does not fit: this line, or the one before it, was changed, removed or inserted",
            digest.hex(),
            _shown(value),
        )
    found = line[:-TAIL_WIDTH].rpartition(SEQ_FIELD)[2]
    return Problem(seq, "the number does not follow the one before", str(seq), _shown(found))


def _check_ends(segment_id: str, first: dict[str, Any], last: dict[str, Any], count: int) -> Problem | None:
    if count == 0:
        return None
    if first.get("event.name") != EventType.AUDIT_LOG_STARTED:
        return Problem(
            1,
            "the segment does not begin with its start record",
            EventType.AUDIT_LOG_STARTED,
            str(first.get("event.name")),
        )
    if first.get("seclog.segment.id") != segment_id:
        return Problem(1, "the start record names another segment", segment_id, str(first.get("seclog.segment.id")))
    if last.get("event.name") == EventType.AUDIT_LOG_STOPPED and last.get("seclog.last_seq") != count:
        return Problem(count, "the stop record counts other lines", str(count), str(last.get("seclog.last_seq")))
    return None


def _clock_note(line: int, before: bytes, now: bytes) -> list[str]:
    """Compare the times that two lines begin with."""
    try:
        moments = [datetime.fromisoformat(start[_MOMENT_AT:].decode("ascii")) for start in (before, now)]
    except ValueError:
        return []
    back = (moments[0] - moments[1]).total_seconds()
    return [f"line {line}: the clock was set back by {back:.0f} s"] if back > CLOCK_TOLERANCE_SECONDS else []


def _entry(line: bytes) -> dict[str, Any]:
    try:
        return parse(line)
    except NotAJournalError:
        return {}


def _shown(found: bytes) -> str:
    return found[:96].decode("ascii", "backslashreplace")
