"""Recovery: what a process left behind when it died in mid-write.

Only with the dead process's lock. The unfinished last line was never acknowledged: it goes to `quarantine/`, named by
its digest, and the segment gets its stop record, so that it is closed for good. A break *before* the tail is
tampering or bit-rot and is never repaired: it is told, and left as it is.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from seclog.errors import NotAJournalError
from seclog.events.types import EventType
from seclog.journal.line import MAX_LINE, seal_line
from seclog.journal.reader import check_start
from seclog.journal.segment import SUFFIX, UNBORN_PREFIX, sync_folder
from seclog.journal.verify import Problem, SegmentReport, verify_segment

QUARANTINE: Final = "quarantine"
UNBORN_SECONDS: Final = 60
"""How old a hidden file must be to count as left behind."""


class Recovered(msgspec.Struct, frozen=True):
    """What recovery did with one segment.

    Args:
        segment: the segment's id.
        closed: whether it has its stop record now.
        torn: bytes that were moved to quarantine.
        quarantine: where they are.
        problem: a break before the tail; then nothing was touched.
    """

    segment: str
    closed: bool
    torn: int = 0
    quarantine: Path | None = None
    problem: Problem | None = None


def recover(path: Path, encode_control: Callable[[EventType, Mapping[str, object]], bytes]) -> Recovered | None:
    """Close the segment of a dead process.

    Args:
        path: the segment.
        encode_control: makes the body of the stop record.

    Returns:
        What was done; None if there was nothing to do: it is closed already.

    Raises:
        BlockingIOError: its writer lives, or somebody looks at it at this moment: try again later.
        OSError: the file cannot be read or written.
    """
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        data = path.read_bytes()
        try:
            check_start(path, data[:MAX_LINE])
        except NotAJournalError as error:
            return Recovered(
                path.stem, closed=False, problem=Problem(1, "the file is no segment", "a segment", str(error))
            )
        report = verify_segment(path.stem, data)
        if report.problem is not None:
            return Recovered(path.stem, closed=False, problem=report.problem)
        if report.state == "stopped" and not report.torn:
            return None
        return _close(fd, path, data, report, encode_control)
    finally:
        os.close(fd)


def _close(
    fd: int,
    path: Path,
    data: bytes,
    report: SegmentReport,
    encode_control: Callable[[EventType, Mapping[str, object]], bytes],
) -> Recovered:
    kept = None
    fields: dict[str, object] = {
        "reason": "process_died",
        "seclog.sink": "journal",
        "seclog.last_seq": report.entries + 1,
        "seclog.segment.id": report.id,
    }
    if report.torn:
        tail = data[-report.torn :]
        kept = _quarantine(path, tail)
        os.ftruncate(fd, len(data) - report.torn)
    if report.state != "stopped":
        tails = _kept_tails(path)  # more than ours, if an earlier recovery died after it had cut one off
        if tails:
            fields["seclog.torn.bytes"] = sum(map(len, tails))
            fields["seclog.torn.sha256"] = " ".join(hashlib.sha256(tail).hexdigest() for tail in tails)
        body = encode_control(EventType.AUDIT_LOG_STOPPED, fields)
        line, _ = seal_line(body, report.entries + 1, bytes.fromhex(report.head))
        try:
            _write(fd, line)
        except OSError:  # a full disk: the segment stays as it was, and the next recovery closes it
            os.ftruncate(fd, len(data) - report.torn)
            _write(fd, data[len(data) - report.torn :])
            raise
    os.fsync(fd)
    return Recovered(report.id, closed=True, torn=report.torn, quarantine=kept)


def _quarantine(path: Path, tail: bytes) -> Path:
    """Keep the tail, on the disk, before it is cut off. Done twice, it is the same file."""
    folder = path.parent / QUARANTINE
    folder.mkdir(mode=0o700, exist_ok=True)
    kept = folder / f"{path.stem}.{hashlib.sha256(tail).hexdigest()[:16]}.torn"
    fd = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, tail)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(folder)
    return kept


def _kept_tails(path: Path) -> list[bytes]:
    return [kept.read_bytes() for kept in sorted((path.parent / QUARANTINE).glob(f"{path.stem}.*.torn"))]


def _write(fd: int, data: bytes) -> None:
    """Write all of it: a full disk may take a part and say so only when asked for the rest."""
    while data:
        data = data[os.write(fd, data) :]


def sweep_unborn(folder: Path, now: float | None = None) -> None:
    """Remove hidden files of processes that died before their segment had its name; they hold nobody's entry.

    Args:
        folder: `journal/<host>`.
        now: the present, seconds since the epoch; a file that is not old may be about to be locked.
    """
    limit = (time.time() if now is None else now) - UNBORN_SECONDS
    for item in folder.glob(f"{UNBORN_PREFIX}*{SUFFIX}"):
        try:
            fd = os.open(item, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # it has got its name in the meantime
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_mtime < limit:
                item.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)
